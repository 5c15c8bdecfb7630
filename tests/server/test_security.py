"""Who may do what, from where, and how much of it."""

import errno
import json
import stat

import pytest
from served import ORIGIN, problem
from starlette.testclient import TestClient

from polyseek.core.errors import ConfigError
from polyseek.server.keys import KeyFile, Scope
from polyseek.server.limits import RateLimit
from polyseek.server.links import Links
from polyseek.server.problems import ProblemError
from polyseek.server.run import run
from polyseek.server.security import COOKIE
from polyseek.server.settings import ServerSettings, is_loopback

pytestmark = pytest.mark.slow

RED = {"terms": [{"text": "red"}]}


@pytest.fixture
def keys(tmp_path):
    return KeyFile(tmp_path / "config" / "keys.json")


@pytest.fixture
def guarded(app_of, keys, made):
    """A client of a server that asks for keys, and its keys by what they are for."""
    made_keys = {
        "read": keys.add("reader", scope=Scope.READ),
        "write": keys.add("writer", scope=Scope.WRITE),
        "admin": keys.add("boss", scope=Scope.ADMIN),
        "other": keys.add("guest", scope=Scope.ADMIN, collections=["other"]),
    }
    location = str(made / "photos.polyseek")
    app = app_of(
        collections={"photos": location, "other": location}, host="0.0.0.0", keys=keys.path
    )
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
        yield client, made_keys


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_keys_are_kept_as_hashes_that_only_the_owner_can_read(keys):
    text = keys.add("laptop", scope=Scope.READ)
    content = keys.path.read_text()
    assert text not in content
    assert text.split("_", 2)[2] not in content
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert keys.check(text).name == "laptop"
    for wrong in ("", "psk", "psk_", text[:-1], text + "x", "psk_00000000_x", "é"):
        assert keys.check(wrong) is None


def test_a_revoked_key_is_out_at_once(keys):
    text = keys.add("laptop", scope=Scope.READ)
    other = KeyFile(keys.path)
    assert other.check(text)
    keys.revoke(text.split("_")[1])
    assert other.check(text) is None
    with pytest.raises(ConfigError, match="known: none"):
        keys.revoke("nonsense")


def test_a_damaged_file_of_keys_lets_nobody_in(keys):
    text = keys.add("laptop", scope=Scope.READ)
    keys.path.write_text("{")
    with pytest.raises(ConfigError, match=r"keys\.json"):
        keys.check(text)


def test_nothing_is_told_without_a_key(guarded):
    client, _ = guarded
    for method, path in [
        ("GET", "/v1/collections"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/v1/collections/photos/status"),
        ("POST", "/v1/collections/photos/search"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
    ]:
        answer = client.request(method, path)
        problem(answer, 401, "unauthorised")
        assert answer.headers["www-authenticate"] == "Bearer"
    problem(client.get("/v1/collections", headers=bearer("psk_x_y")), 401, "unauthorised")
    assert client.get("/healthz").status_code == 200


def test_scopes_and_collections(guarded):
    client, keys = guarded
    search, index = "/v1/collections/photos/search", "/v1/collections/photos/index"
    assert client.post(search, json=RED, headers=bearer(keys["read"])).status_code == 200
    assert client.post(search, json=RED, headers={"X-API-Key": keys["read"]}).status_code == 200
    refused = client.post(index, json={"sources": ["x"]}, headers=bearer(keys["read"]))
    assert "write" in problem(refused, 403, "forbidden")
    problem(client.get("/metrics", headers=bearer(keys["write"])), 403, "forbidden")
    assert client.get("/metrics", headers=bearer(keys["admin"])).status_code == 200
    problem(client.post(search, json=RED, headers=bearer(keys["other"])), 404, "unknown-collection")
    seen = client.get("/v1/collections", headers=bearer(keys["other"])).json()["collections"]
    assert [one["name"] for one in seen] == ["other"]


def test_others_are_told_no_path_of_this_machine(guarded, made):
    client, keys = guarded
    for method, path, body in [
        ("POST", "/v1/collections/photos/search", RED),
        ("GET", "/v1/collections/photos/status", None),
    ]:
        answer = client.request(method, path, json=body, headers=bearer(keys["read"]))
        assert answer.status_code == 200
        assert str(made) not in answer.text
    hit = client.post(
        "/v1/collections/photos/search", json=RED, headers=bearer(keys["read"])
    ).json()["hits"][0]
    assert hit["uri"] == hit["links"]["media"]


def test_duplicates_tell_no_path_either():
    hit = {"id": "1", "uri": "file:///a.png", "duplicates": [{"id": "2", "uri": "file:///b.png"}]}
    (told,) = Links("c", show_files=False).hit(hit)["duplicates"]
    assert told["uri"] == f"/v1/collections/c/assets/{told['asset']}/media"
    assert Links("c", show_files=True).hit(hit)["duplicates"][0]["uri"] == "file:///b.png"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mini@3f2c", "mini@3f2c"),
        ("hf:owner/clip@0123", "hf:owner/clip@0123"),
        ("transformers:hf:owner/clip", "transformers:hf:owner/clip"),
        ("/home/ann/models/clip@ab", "clip@ab"),
        ("onnx:/home/ann/models/clip", "clip"),
        ("joint:/home/ann/both.toml@ab", "both.toml@ab"),
    ],
)
def test_others_are_not_told_where_an_encoder_lies(name, told):
    assert Links("c", show_files=False).encoder(name) == told
    assert Links("c", show_files=True).encoder(name) == name


def test_a_key_in_a_cookie(guarded):
    client, keys = guarded
    problem(client.post("/v1/session", json={"key": "psk_x_y"}), 401, "unauthorised")
    begun = client.post("/v1/session", json={"key": keys["read"]})
    assert begun.status_code == 204
    for word in (COOKIE, "HttpOnly", "SameSite=strict"):
        assert word in begun.headers["set-cookie"]
    assert client.get("/v1/collections").status_code == 200
    assert client.delete("/v1/session").status_code == 204
    problem(client.get("/v1/collections"), 401, "unauthorised")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "10.0.0.1", "", "a@b"])
def test_dns_rebinding(client, host):
    problem(client.get("/v1/collections", headers={"Host": host}), 421, "unknown-host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8000"])
def test_this_machines_own_names(client, host):
    assert client.get("/v1/collections", headers={"Host": host}).status_code == 200


def test_pages_of_other_sites_cannot_write(client):
    path = "/v1/collections/photos/search"
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        problem(client.post(path, json=RED, headers=headers), 403, "cross-site")
    assert client.post(path, json=RED, headers={"Origin": ORIGIN}).status_code == 200
    preflight = client.options(path, headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in preflight.headers
    answer = client.get("/v1/collections", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_too_large_bodies(app_of):
    app = app_of(max_body_bytes=1000)
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
        path = "/v1/collections/photos/search"
        problem(client.post(path, json={"terms": [{"text": "x" * 2000}]}), 413, "too-large")
        problem(client.post(path, files={"file": ("x.png", b"x" * 2000)}), 413, "too-large")

        def unsaid():
            for _ in range(4):
                yield b"x" * 500

        kind = {"Content-Type": "application/json"}
        problem(client.post(path, content=unsaid(), headers=kind), 413, "too-large")
        assert client.post(path, json=RED).status_code == 200


def test_a_full_disk(client, monkeypatch):
    async def full(upload, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("polyseek.server.bodies.save", full)
    answer = client.post("/v1/collections/photos/search", files={"file": ("x.png", b"x")})
    problem(answer, 507, "disk-full")


def test_too_many_requests(app_of):
    with TestClient(app_of(requests_per_minute=3), base_url=ORIGIN) as client:
        for _ in range(3):
            assert client.get("/healthz").status_code == 200
        answer = client.get("/healthz")
        problem(answer, 429, "too-many-requests")
        assert int(answer.headers["retry-after"]) >= 1


def test_the_rate_comes_back_with_time(monkeypatch):
    now = 0.0
    monkeypatch.setattr("polyseek.server.limits.monotonic", lambda: now)
    limit = RateLimit(60)
    for _ in range(60):
        limit.take("me")
    with pytest.raises(ProblemError):
        limit.take("me")
    limit.take("you")
    now = 1.5
    limit.take("me")


def test_an_address_that_others_reach_needs_keys(tmp_path):
    server = ServerSettings(collections={}, host="0.0.0.0", keys=tmp_path / "none.json")
    with pytest.raises(ConfigError, match="polyseek keys add"):
        run(server)
    with pytest.raises(ConfigError, match="--keys"):
        run(ServerSettings(collections={}, host="192.168.1.2"))


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("example.org", False)],
)  # fmt: skip
def test_loopback(host, alone):
    assert is_loopback(host) is alone


def test_settings_survive_the_way_to_a_worker(tmp_path):
    server = ServerSettings(
        collections={"a": "b"}, keys=tmp_path, roots=[tmp_path], jobs=None, hosts=["x"]
    )
    assert ServerSettings.from_json(server.to_json()) == server
    assert json.loads(server.to_json())["port"] == 8000
