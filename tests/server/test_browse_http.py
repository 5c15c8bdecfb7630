"""Collections, assets and their bytes over HTTP: nothing but what the collection has."""

import shutil

import pytest
from served import ORIGIN, problem
from starlette.testclient import TestClient

import polyseek
from polyseek.core.types import asset_id

pytestmark = pytest.mark.slow

PHOTOS = "/v1/collections/photos"


@pytest.fixture
def changing(app_of, made, tmp_path):
    """A client, and the folder and collection it serves, which the test may change."""
    shutil.copytree(made / "photos", tmp_path / "photos")
    polyseek.open(tmp_path / "c.polyseek", encoder="fake").add(tmp_path / "photos", workers=1)
    app = app_of(collections={"c": str(tmp_path / "c.polyseek")})
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
        yield client, tmp_path


def of(made, name):
    return f"{PHOTOS}/assets/{asset_id((made / 'photos' / name).as_uri())}"


def test_collections(client):
    (one,) = client.get("/v1/collections").json()["collections"]
    assert one == {
        "name": "photos",
        "encoder": "fake",
        "assets": 5,
        "modalities": {"image": 3, "text": 2},
        "problem": None,
    }
    problem(client.get("/v1/collections/other/status"), 404, "unknown-collection")


def test_status_names_failures_and_no_folder(client, made):
    status = client.get(f"{PHOTOS}/status").json()
    assert status["assets"]["indexed"] == 5
    assert status["failures_total"] == 1
    assert status["failures"][0]["asset"] == asset_id((made / "photos" / "bad.png").as_uri())
    assert "location" not in status
    assert client.get(f"{PHOTOS}/status?failures=0").json()["failures"] == []


def test_fields(client):
    fields = {field["name"]: field for field in client.get(f"{PHOTOS}/fields").json()["fields"]}
    assert fields["width"] == {"name": "width", "type": "integer", "segments": 3, "examples": [64]}


def test_an_asset(client, made):
    asset = client.get(of(made, "red.png")).json()
    assert (asset["status"], asset["modalities"]) == ("indexed", ["image"])
    assert asset["segments"][0]["metadata"]["path"] == "red.png"
    assert client.get(of(made, "red.png"), params={"limit": 0}).json()["segments"] == []
    failed = client.get(of(made, "bad.png")).json()
    assert failed["status"] == "failed"
    assert failed["segments"] == []


def test_media_in_ranges(client, made):
    whole = client.get(of(made, "red.png") + "/media")
    data = (made / "photos" / "red.png").read_bytes()
    assert (whole.content, whole.headers["content-type"]) == (data, "image/png")
    part = client.get(of(made, "red.png") + "/media", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    assert part.headers["content-range"] == f"bytes 1-3/{len(data)}"
    beyond = client.get(of(made, "red.png") + "/media", headers={"Range": "bytes=99999-"})
    assert beyond.status_code == 416
    same = {"If-None-Match": whole.headers["etag"]}
    assert client.get(of(made, "red.png") + "/media", headers=same).status_code in (200, 304)


def test_a_page_in_a_collection_cannot_run_scripts(client, made):
    page = client.get(of(made, "page.html") + "/media")
    assert page.headers["content-type"].startswith("text/plain")
    assert "sandbox" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


def test_previews(client, made):
    shown = client.get(of(made, "red.png") + "/preview")
    assert shown.headers["content-type"] == "image/jpeg"
    again = client.get(
        of(made, "red.png") + "/preview", headers={"If-None-Match": shown.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    problem(client.get(of(made, "note.txt") + "/preview"), 404, "no-preview")
    problem(client.get(of(made, "bad.png") + "/preview"), 404, "unknown-asset")
    assert "hit" in client.get("/metrics").text


@pytest.mark.parametrize(
    "path",
    [
        "/assets/..%2f..%2fetc%2fpasswd/media",
        "/assets/../../../etc/passwd",
        "/assets/%2e%2e/media",
        "/assets/" + "0" * 32 + "/media",
        "/assets/" + "0" * 31 + "/media",
        "/assets/file:%2F%2F%2Fetc%2Fpasswd/media",
    ],
)
def test_no_path_leaves_the_collection(client, path):
    answer = client.get(PHOTOS + path)
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text


def test_a_deleted_asset(changing):
    client, root = changing
    id_ = asset_id((root / "photos" / "red.png").as_uri())
    assert client.get(f"/v1/collections/c/assets/{id_}").status_code == 200
    (root / "photos" / "red.png").unlink()
    problem(client.get(f"/v1/collections/c/assets/{id_}/media"), 404, "no-media")
    problem(client.get(f"/v1/collections/c/assets/{id_}/preview"), 404, "no-preview")
    polyseek.open(root / "c.polyseek").add(root / "photos", workers=1)
    problem(client.get(f"/v1/collections/c/assets/{id_}"), 404, "unknown-asset")
    query = {"terms": [{"asset": id_}]}
    problem(client.post("/v1/collections/c/search", json=query), 404, "unknown-asset")


def test_a_collection_that_is_removed_while_served(changing):
    client, root = changing
    query = {"terms": [{"text": "red"}]}
    assert client.post("/v1/collections/c/search", json=query).status_code == 200
    (root / "c.polyseek").rename(root / "away")
    problem(client.post("/v1/collections/c/search", json=query), 404, "unknown-collection")
    problem(client.get("/v1/collections/c/status"), 404, "unknown-collection")
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    (one,) = client.get("/v1/collections").json()["collections"]
    assert "not there any more" in one["problem"]
    (root / "away").rename(root / "c.polyseek")
    assert client.post("/v1/collections/c/search", json=query).status_code == 200


def test_a_collection_that_grows_is_seen_at_once(changing):
    client, root = changing
    query = {"terms": [{"text": "yellow"}], "modalities": ["text"], "mode": "text"}
    assert client.post("/v1/collections/c/search", json=query).json()["no_match"]
    (root / "photos" / "new.txt").write_text("yellow submarines")
    polyseek.open(root / "c.polyseek").add(root / "photos", workers=1)
    hits = client.post("/v1/collections/c/search", json=query).json()["hits"]
    assert [hit["metadata"]["name"] for hit in hits] == ["new.txt"]
