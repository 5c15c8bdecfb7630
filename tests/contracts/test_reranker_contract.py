import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from polyseek.core.fusion import FEATURES, NOTE, FusionModel
from polyseek.core.reranking import RerankSetup
from polyseek.search.rerankers import fusion, http
from polyseek.testing.reranker import RerankerConformance

pytestmark = pytest.mark.slow


class TestFusion(RerankerConformance):
    def make_reranker(self):
        model = FusionModel(weights=tuple(float(i) for i in range(len(FEATURES))))
        return fusion.load(RerankSetup(notes={NOTE: model.to_json()}))


class _Lengths(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"scores": [len(t) for t in body["texts"]]}).encode())

    def log_message(self, *_):
        pass


class TestHttp(RerankerConformance):
    @pytest.fixture(autouse=True)
    def server(self):
        self.running = HTTPServer(("127.0.0.1", 0), _Lengths)
        thread = threading.Thread(target=self.running.serve_forever, args=(0.02,))
        thread.start()
        yield
        self.running.shutdown()
        self.running.server_close()
        thread.join()

    def make_reranker(self):
        return http.HttpReranker(url=f"http://127.0.0.1:{self.running.server_port}/")
