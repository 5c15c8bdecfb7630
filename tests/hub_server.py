"""A small server that speaks the hub's protocol on loopback: enough for its real client."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN = "hf_let_me_in"


REPOSITORY = "(?:models/)?((?:datasets/)?[^/]+/[^/]+)"
"""In a path; data sets are called ``datasets/OWNER/NAME`` here, too."""


class Hub:
    """Repositories by name, each with files by revision; counts what is asked for.

    Attributes:
        cut: Bytes after which the next large answer breaks off; None for never.
        tampered: File names that arrive with other bytes than announced.
    """

    def __init__(self):
        self.repositories, self.branches = {}, {}
        self.private, self.gated = set(), set()
        self.cut, self.tampered, self.asked = None, set(), []
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self})
        )
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def commit(self, repo, files, *, branch="main", licence=None):
        """Publish files; returns the commit."""
        body = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
        commit = hashlib.sha1(f"{repo} {body} {licence}".encode()).hexdigest()
        self.repositories[repo, commit] = dict(files), licence
        self.branches[repo, branch] = commit
        return commit

    def commits(self, repo):
        return {commit for name, commit in self.repositories if name == repo}


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = self.path.split("?")[0]
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        info = re.fullmatch(f"/api/{REPOSITORY}(?:/revision/([^/]+))?", path)
        tree = re.fullmatch(f"/api/{REPOSITORY}/tree/([^/]+)/?(.*)", path)
        found = info or tree or re.fullmatch(f"/{REPOSITORY}/resolve/([^/]+)/(.+)", path)
        repo, commit = self.resolve(found)
        if repo is None or commit not in self.hub.commits(repo):
            return self.refuse(*self.reason(repo, file=info is None))
        files, licence = self.hub.repositories[repo, commit]
        if info:
            return self.describe(repo, commit, files, licence, body=body)
        if tree:
            return self.send_json(self.below(files, unquote(tree[3])), body=body)
        if self.forbidden(repo, file=True):
            return self.refuse(*self.reason(repo, file=True))
        if found[3] not in files:
            return self.refuse(404, "EntryNotFound")
        return self.send_file(found[3], files[found[3]], commit, body=body)

    def do_POST(self):
        """What the hub knows of some paths of a data set."""
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.split("?")[0]
        found = re.fullmatch(f"/api/{REPOSITORY}/paths-info/([^/]+)", path)
        repo, commit = self.resolve(found)
        if repo is None or commit not in self.hub.commits(repo):
            return self.refuse(*self.reason(repo, file=False))
        files, _ = self.hub.repositories[repo, commit]
        return self.send_json([
            self.entry(name, files[name]) if name in files else {"type": "directory", "path": name}
            for name in json.loads(asked)["paths"]
            if name in files or self.below(files, name)
        ])  # fmt: skip

    def below(self, files, folder):
        """Everything in a folder, as a tree that is asked for with all its branches."""
        above = f"{folder}/" if folder else ""
        return [self.entry(name, files[name]) for name in sorted(files) if name.startswith(above)]

    def entry(self, name, data):
        found = {"type": "file", "path": name, "size": len(data), "oid": git(data)}
        if large(name):
            oid = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 134}
        return found

    def send_json(self, told, *, body=True):
        content = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def resolve(self, found):
        if found is None or self.forbidden(found[1], file=False):
            return None, None
        revision = found[2] or "main"
        return found[1], self.hub.branches.get((found[1], revision), revision)

    def forbidden(self, repo, *, file):
        known = self.hub.commits(repo)
        authorised = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        closed = repo in self.hub.private or (file and repo in self.hub.gated)
        return not known or (closed and not authorised)

    def reason(self, repo, *, file):
        if repo is None:
            return 401, "RepoNotFound"  # as for a private one, without a token
        if file and self.forbidden(repo, file=True):
            return 403, "GatedRepo"
        return 404, "RevisionNotFound"

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def describe(self, repo, commit, files, licence, *, body):
        told = {
            "_id": "1", "id": repo, "modelId": repo, "sha": commit, "private": False,
            "siblings": [self.sibling(name, data) for name, data in files.items()],
            "cardData": {"license": licence} if licence else None,
            "lastModified": "2026-01-01T00:00:00.000Z",
        }  # fmt: skip
        self.send_json(told, body=body)

    def sibling(self, name, data):
        found = {"rfilename": name, "size": len(data), "blobId": git(data)}
        if large(name):
            sha256 = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return found

    def send_file(self, name, data, commit, *, body):
        etag = hashlib.sha256(data).hexdigest() if large(name) else git(data)
        start, end = 0, len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            start, end = int(asked[1]), min(len(data), int(asked[2] or len(data)) + 1)
        if name in self.hub.tampered:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return
        rest = data[start:end]
        if self.hub.cut is not None and len(rest) > self.hub.cut:
            rest, self.hub.cut = rest[: self.hub.cut], None
            self.wfile.write(rest)
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(rest)


def git(data):
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def large(name):
    return name.endswith((".onnx", ".safetensors", ".bin"))
