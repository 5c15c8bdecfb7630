"""A real S3 server, one per test session, and buckets in it."""

import itertools
import json

import pytest

from polyseek.core import objects
from polyseek.testing.s3 import PUBLIC, s3_proxy, s3_server

_names = itertools.count()


@pytest.fixture(scope="session")
def s3_process(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(s3_process, monkeypatch, tmp_path):
    """The server, with the environment of this process leading to it."""
    _lead_to(s3_process, None, monkeypatch, tmp_path)
    yield s3_process
    objects.bucket_of.cache_clear()


@pytest.fixture
def proxy(s3_process, monkeypatch, tmp_path):
    """A proxy in front of the server, with the environment leading to the proxy."""
    with s3_proxy(s3_process) as proxy:
        _lead_to(s3_process, proxy.endpoint, monkeypatch, tmp_path)
        yield proxy
    objects.bucket_of.cache_clear()


@pytest.fixture
def google(s3, monkeypatch, tmp_path):
    """Google's client led to the server: what it asks when it lists and reads is S3's XML.

    It can only read: Google's conditional writes are its own. Objects come by `put` to ``s3://``.
    """
    account = {"gcs_base_url": s3.endpoint, "disable_oauth": True, "client_email": "",
               "private_key": "", "private_key_id": ""}  # fmt: skip
    path = tmp_path / "google.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    return f"s3://{PUBLIC}", f"gs://{PUBLIC}"


@pytest.fixture
def bucket():
    """The URL of a bucket nobody else uses; it is made by the first object put into it."""
    return f"s3://bucket-{next(_names)}"


@pytest.fixture
def made_bucket(s3, bucket):
    """The same, made."""
    put(f"{bucket}/there", b"")
    return bucket


def put(url, content):
    """Store an object, past everything that is under test."""
    import obstore

    bucket, key = objects.split_url(url)
    obstore.put(objects.bucket_of(bucket), key, content)


def delete(url):
    import obstore

    bucket, key = objects.split_url(url)
    obstore.delete(objects.bucket_of(bucket), key)


def _lead_to(server, endpoint, monkeypatch, tmp_path):
    objects.bucket_of.cache_clear()
    for name, value in server.environment(endpoint).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
