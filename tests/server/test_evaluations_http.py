"""What `polyseek eval` has kept, over HTTP and on the report's page; and the doctor's limits."""

import shutil
import threading
import time

import pytest
from served import ORIGIN, problem
from starlette.testclient import TestClient

import polyseek
from polyseek.api import opening
from polyseek.api.collection import Collection
from polyseek.server.keys import KeyFile, Scope
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow

ROOT = "/v1/collections/photos/evaluations"
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def measured(made, tmp_path_factory):
    """A copy of the collection with two evaluations, the second one worse."""
    folder = tmp_path_factory.mktemp("measured")
    where = folder / "photos.polyseek"
    shutil.copytree(made / "photos.polyseek", where)
    right, wrong = folder / "right.csv", folder / "wrong.csv"
    rows = [(f"{colour}{' thing' * n}", colour) for colour in ("red", "green") for n in range(9)]
    right.write_text("query,path\n" + "".join(f"{q},{c}.png\n" for q, c in rows))
    other = {"red": "green", "green": "red"}
    wrong.write_text("query,path\n" + "".join(f"{q},{other[c]}.png\n" for q, c in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        opened = polyseek.open(where)
        for pairs in (right, wrong):
            opened.evaluations.keep(opened.evaluate(pairs))
    return where


@pytest.fixture
def client(app_of, measured):
    app = app_of(collections={"photos": str(measured)})
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as opened:
        yield opened


def test_the_newest_comes_first_with_its_figures(client):
    newest, oldest = client.get(ROOT).json()["evaluations"]
    assert (newest["number"], oldest["number"]) == (2, 1)
    assert oldest["comparison"] is None
    direction = next(d for d in oldest["directions"] if d["name"] == "text -> image")
    assert direction["source"] == "right.csv"
    assert set(direction["figures"]["R@1"]) == {"value", "low", "high"}
    assert "location" not in newest
    assert any(one["direction"] == "text -> image" for one in newest["comparison"]["differences"])


def test_the_page_shows_them_beside_the_doctor(client):
    page = client.get("/c/photos/report").text
    assert "Evaluation 2" in page
    assert "text -&gt; image" in page
    assert "Run the doctor" in page
    assert f"{ROOT}/2/report" in page
    assert f"{ROOT}/1/report" in page
    assert " style=" not in page


def test_a_report_in_full_runs_nothing_and_names_no_folder(client, measured):
    report = client.get(f"{ROOT}/1/report")
    assert report.status_code == 200
    assert report.headers["content-type"].startswith("text/html")
    policy = report.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "<script" not in report.text
    assert str(measured.parent) not in report.text
    assert "Furthest down" in client.get(f"{ROOT}/2/report").text
    detail = problem(client.get(f"{ROOT}/7/report"), 404, "unknown-evaluation")
    assert "kept: 2, 1" in detail
    assert client.get(f"{ROOT}/0/report").status_code == 422
    assert client.get("/v1/collections/other/evaluations").status_code == 404


def test_a_collection_that_nobody_measured_says_how(app_of):
    with TestClient(app_of(), base_url=ORIGIN) as client:
        assert client.get(ROOT).json() == {"evaluations": []}
        assert "polyseek eval" in client.get("/c/photos/report").text


def test_readers_see_figures_and_not_what_was_asked(app_of, measured, tmp_path):
    keys = tmp_path / "keys.json"
    secret = KeyFile(keys).add("me", scope=Scope.READ)
    app = app_of(collections={"photos": str(measured)}, keys=keys)
    with TestClient(app, base_url=ORIGIN) as client:
        problem(client.get(ROOT), 401, "unauthorised")
        client.headers["Authorization"] = f"Bearer {secret}"
        assert len(client.get(ROOT).json()["evaluations"]) == 2
        page = client.get("/c/photos/report").text
        assert "Evaluation 2" in page
        assert "/2/report" not in page
        problem(client.get(f"{ROOT}/2/report"), 403, "forbidden")


def test_a_doctor_that_takes_too_long_is_stopped_and_keeps_nobody_waiting(app_of, monkeypatch):
    stopped, begun = threading.Event(), threading.Event()

    def doctor(_, *, progress):
        begun.set()
        try:
            while True:
                progress(None)
                time.sleep(0.02)
        except TimeoutError:
            stopped.set()
            raise

    monkeypatch.setattr(Collection, "doctor", doctor)
    app = app_of(doctor_timeout_s=1.0)
    answers = []
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
        asking = threading.Thread(
            target=lambda: answers.append(client.post("/c/photos/report", headers=FRAGMENT))
        )
        asking.start()
        assert begun.wait(20)
        second = client.post("/c/photos/report", headers=FRAGMENT)
        assert second.status_code == 503
        assert client.get("/c/photos", params={"q": "red"}).status_code == 200
        asking.join(20)
        assert stopped.wait(20)
        monkeypatch.undo()
    assert answers[0].status_code == 504
    assert "not done after 1 s" in answers[0].text
