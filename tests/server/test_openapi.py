"""Whatever the OpenAPI document allows is answered as it says, and what it forbids is refused."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(shared):
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{shared.port}/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=3, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_answers_follow_the_document(case):
    case.call_and_validate(
        # A filter is a language of its own, a vector has the length of the collection's encoder:
        # a schema cannot say what is right about either.
        excluded_checks=[positive_data_acceptance],
    )
