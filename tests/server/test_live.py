"""Real servers: several workers, a flood, slow and huge clients, index jobs, and their end."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import MAIN, environment, raw

pytestmark = pytest.mark.slow

SEARCH = "/v1/collections/photos/search"
GIB = 1024**3


def memory_bytes(process):
    """Resident memory of the server, without its decode workers."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def head(*lines):
    return "\r\n".join([f"POST {SEARCH} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode()


def status_of(data):
    return int(data.split(b" ", 2)[1])


def test_two_gigabytes_are_refused_and_never_held(live):
    server = live()
    before = memory_bytes(server.process)
    with raw(server.port) as sock:
        sock.sendall(
            head("Content-Type: multipart/form-data; boundary=x", f"Content-Length: {2 * GIB}")
        )
        answer = sock.recv(65536)
    assert status_of(answer) == 413
    assert b"application/problem+json" in answer
    with raw(server.port) as sock:  # and one that does not say how long it is
        sock.sendall(head("Content-Type: application/json", "Transfer-Encoding: chunked"))
        block = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        sent = 0
        try:
            while sent < 2 * GIB:
                sock.sendall(block)
                sent += len(block)
        except OSError:
            pass
        assert sent < GIB / 4
    assert memory_bytes(server.process) - before < GIB / 2
    assert server.search("red")[0] == 200


def test_a_flood_is_answered_or_told_to_come_again(live):
    """A thousand requests at once: each is answered or refused at once, and nothing breaks."""
    server = live(FAKE_ENCODER_SECONDS="0.01")
    before = memory_bytes(server.process)

    def one(number):
        return server.search(f"red {number}", limit=1)

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(one, range(1000)))
    counts = Counter(status for status, _, _ in answers)
    assert set(counts) <= {200, 503}
    assert counts[200] > 60
    for status, headers, body in answers:
        if status == 503:
            assert headers["retry-after"]
            assert isinstance(body, bytes) or body["status"] == 503
    assert memory_bytes(server.process) - before < GIB / 2
    assert server.search("red")[0] == 200
    batches = server.request("GET", "/metrics")[2].decode()
    assert "polyseek_encode_batch_size_sum" in batches


def test_a_client_that_never_sends_its_body(live):
    server = live("--body-timeout", "1")
    with raw(server.port) as sock:
        sock.sendall(head("Content-Type: application/json", "Content-Length: 100") + b"{")
        answer = sock.recv(65536)
    assert status_of(answer) == 408
    assert b"application/problem+json" in answer


def test_slow_clients_do_not_keep_others_waiting(live):
    server = live()
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
    try:
        for sock in sockets:
            sock.sendall(head("Content-Type: application/json", "Content-Length: 100") + b"{")
        assert server.search("red")[0] == 200
    finally:
        for sock in sockets:
            sock.close()
    assert server.search("red")[0] == 200


def test_workers_share_jobs_and_figures(live, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.txt").write_text(f"yellow thing number {i}")
    server = live("--workers", "2", "--index-root", str(folder))
    path = "/v1/collections/photos"
    status, _, job = server.request("POST", f"{path}/index", {"sources": ["."]})
    assert status == 202
    for _ in range(300):
        found = server.request("GET", f"{path}/jobs/{job['id']}")[2]
        assert found["id"] == job["id"]
        assert server.search("red")[0] == 200
        if found["state"] != "running":
            break
        time.sleep(0.1)
    assert found["state"] == "done"
    assert found["last"]["added"] == 8
    hits = server.search("yellow", modalities=["text"])[2]["hits"]
    assert any(hit["text"].startswith("yellow") for hit in hits)
    figures = server.request("GET", "/metrics")[2].decode()
    assert "polyseek_search_stage_seconds_count" in figures
    assert server.stop() == 0


def test_a_job_tells_how_it_goes_and_can_be_cancelled(live, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    for i in range(200):
        (folder / f"{i:03}.txt").write_text(f"yellow thing number {i}")
    server = live("--index-root", str(tmp_path), FAKE_ENCODER_SECONDS="0.2")
    path = "/v1/collections/photos"
    job = server.request("POST", f"{path}/index", {"sources": ["more"]})[2]
    status, _, second = server.request("POST", f"{path}/index", {"sources": ["more"]})
    assert (status, second["code"]) == (409, "collection-busy")
    seen = []
    told = threading.Thread(
        target=lambda: seen.append(server.request("GET", f"{path}/jobs/{job['id']}/events")),
        daemon=True,
    )
    told.start()
    for _ in range(300):
        if server.request("GET", f"{path}/jobs/{job['id']}")[2]["last"].get("done", 0) > 0:
            break
        time.sleep(0.1)
    assert server.request("DELETE", f"{path}/jobs/{job['id']}")[0] == 202
    told.join(60)
    _, headers, body = seen[0]
    assert headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line[:6] == "data: "]
    assert events[0]["event"] == "progress"
    assert events[-1]["event"] == "cancelled"
    assert str(tmp_path) not in body.decode()
    assert 0 < events[-1]["added"] < 200
    again = server.request("POST", f"{path}/index", {"sources": ["more/000.txt"]})
    assert again[0] == 202


def test_jobs_stay_below_the_roots(live, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link").symlink_to(tmp_path)
    server = live("--index-root", str(root))
    path = "/v1/collections/photos/index"
    for source in ("..", "../secret.txt", "link/secret.txt", "/etc", str(tmp_path)):
        status, _, body = server.request("POST", path, {"sources": [source]})
        assert (status, body["code"]) == (403, "outside-roots")
    status, _, body = server.request("POST", path, {"sources": ["nothere"]})
    assert (status, body["code"]) == (400, "invalid-source")
    assert str(tmp_path) not in json.dumps(body)
    nowhere = live().request("POST", path, {"sources": ["x"]})
    assert (nowhere[0], nowhere[2]["code"]) == (403, "no-roots")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_hand_is_finished_when_the_server_stops(live, number):
    server = live(FAKE_ENCODER_SECONDS="1.5")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.search, "never asked before")
        time.sleep(0.7)
        assert server.stop(number) == 0
        assert answer.result()[0] == 200
    assert "Traceback" not in server.log.read_text()


def serve(tmp_path, *words, **variables):
    return subprocess.run(
        [sys.executable, "-c", MAIN, "serve", *words],
        capture_output=True, text=True, cwd=tmp_path, env=environment(**variables), timeout=120,
        check=False,
    )  # fmt: skip


def test_what_serve_refuses(live, tmp_path, made):
    collection = str(made / "photos.polyseek")
    done = serve(tmp_path, "-c", collection, "--port", str(live().port))
    assert (done.returncode, "in use" in done.stderr) == (10, True)
    done = serve(tmp_path, "-c", collection, "--host", "0.0.0.0", HOME=str(tmp_path))
    assert (done.returncode, "polyseek keys add" in done.stderr) == (10, True)
    assert serve(tmp_path, "-c", "nothing").returncode == 51
    assert serve(tmp_path, "-c", collection, "--index-root", "nothing").returncode == 10
    assert serve(tmp_path, "-c", f"a b={collection}").returncode == 10
    done = serve(tmp_path, "-c", collection, "-c", collection)
    assert (done.returncode, "is there twice" in done.stderr) == (10, True)
