"""Rerankers: what they say counts, and what they do wrong does not."""

import json
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from watched import (
    IMAGE,
    TEXT,
    add,
    colour,
    names,
    words,
)

from polyseek.core.config import SearchOptions, Settings
from polyseek.core.errors import ConfigError
from polyseek.core.reranking import RerankSetup
from polyseek.core.retriever import Rerank, Retriever
from polyseek.search.pipeline import search
from polyseek.search.rerankers import http

pytestmark = pytest.mark.slow

TEXTS = {f"t{i}": f"red {'blue ' * i}".strip() for i in range(6)}


@pytest.fixture
def store(store):
    add(store, TEXT, **TEXTS)
    return store


class Says:
    """Gives these scores."""

    def __init__(self, *scores, pause_s=0.0, then=None):
        self.given, self.pause_s, self.then, self.seen = scores, pause_s, then, ()

    def scores(self, question, candidates):
        self.seen, self.question = candidates, question
        for score in self.given:
            time.sleep(self.pause_s)
            yield score
        if self.then:
            raise self.then


def ask(store, encoder, reranker, *, budget_ms=5000.0, depth=50, **options):
    return search(
        words("red"),
        encoder=encoder,
        store=store,
        options=SearchOptions(
            retriever=Retriever(rerank=Rerank(budget_ms=budget_ms, depth=depth)), **options
        ),
        rerankers={"mine": reranker} if reranker else {},
    )


@pytest.fixture
def before(store, encoder):
    return names(ask(store, encoder, None))


def test_the_order_is_the_rerankers(store, encoder, before):
    found = ask(store, encoder, Says(*range(6)))
    assert names(found) == before[::-1]
    assert found.notes == ()
    assert [hit.rank for hit in found] == [1, 2, 3, 4, 5, 6]
    assert dict(found[0].ranks) == {"fuse": 6, "rerank": 1}
    assert "rerank" in found.timings_ms


def test_it_sees_everything_that_is_known(store, encoder):
    add(store, IMAGE, car=colour("red"))
    says = Says(*range(7))
    ask(store, encoder, says)
    assert says.question.query.label == "red"
    by_name = {one.hit.uri: one for one in says.seen}
    text, picture = by_name["file:///t1"], by_name["file:///car"]
    assert text.texts == ("red blue",)
    assert text.hit.text_score > 0
    assert text.tower.shape == (64,)
    assert picture.texts == ()
    assert picture.tower.shape == (192,)
    assert picture.shared @ picture.shared == pytest.approx(1, abs=1e-5)


def test_what_it_cannot_judge_keeps_its_place(store, encoder, before):
    found = ask(store, encoder, Says(1, None, 2, 3, None, 4))
    assert names(found) == [before[i] for i in (5, 1, 3, 2, 4, 0)]
    assert found.notes == ()


def test_one_that_can_judge_nothing_says_so(store, encoder, before):
    found = ask(store, encoder, Says(*[None] * 6))
    assert names(found) == before
    assert found.notes == ("reranker 'mine' could not read any of the 6 hits it was given",)


def test_only_the_top_is_seen_and_the_rest_stays_below(store, encoder, before):
    found = ask(store, encoder, Says(0, 1, 2), depth=3)
    assert names(found) == [*before[2::-1], *before[3:]]


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (Says(1, 2, 3), "3 scores for 6 hits"),
        (Says(*range(7)), "7 or more scores for 6 hits"),
        (Says(1, 2, math.nan, 4, 5, 6), "a score is not a finite number"),
        (Says(1, 2, math.inf, 4, 5, 6), "a score is not a finite number"),
        (Says("a", 2), "ValueError: could not convert"),
        (Says(1, then=RuntimeError("no graphics card")), "RuntimeError: no graphics card"),
        (Says(), "0 scores for 6 hits"),
    ],
)
def test_a_useless_answer_leaves_the_order_and_says_so(store, encoder, before, says, why):
    found = ask(store, encoder, says)
    assert names(found) == before
    [note] = found.notes
    assert note.startswith("reranker 'mine' was not used: ")
    assert why in note
    assert note.endswith("the order before it stays")


def test_an_endless_answer_is_cut_off(store, encoder, before):
    class Endless:
        def scores(self, question, candidates):
            while True:
                yield 1.0

    found = ask(store, encoder, Endless())
    assert names(found) == before
    assert "7 or more scores" in found.notes[0]


def test_what_fits_into_the_budget_counts(store, encoder, before):
    says = Says(*range(6), pause_s=0.12)
    started = time.perf_counter()
    found = ask(store, encoder, says, budget_ms=300)
    assert time.perf_counter() - started < 3
    [note] = found.notes
    scored = int(note.split("scored ")[1].split(" of")[0])
    assert 1 <= scored <= 3
    assert f"{scored} of 6 within 300 ms" in note
    assert names(found) == [*before[:scored][::-1], *before[scored:]]


def test_one_that_hangs_does_not_hold_up_the_search(store, encoder, before):
    woken = threading.Event()

    class Hangs:
        def scores(self, question, candidates):
            woken.wait(30)
            return [0.0] * len(candidates)

    started = time.perf_counter()
    found = ask(store, encoder, Hangs(), budget_ms=50)
    assert time.perf_counter() - started < 5
    woken.set()
    assert names(found) == before
    assert "nothing scored within 50 ms" in found.notes[0]


def test_nothing_found_is_nothing_to_rerank(encoder, store):
    says = Says()
    found = ask(store, encoder, says, modalities=(IMAGE,))
    assert (len(found), found.notes, says.seen) == (0, (), ())


@pytest.fixture
def server():
    """A server that scores by the number of letters, and keeps what it was sent."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append(body)
            answer = Handler.answer(body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

        @staticmethod
        def answer(body):
            return {"scores": [len(text) for text in body["texts"]]}

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield running, received, Handler
    running.shutdown()
    running.server_close()
    thread.join()


def over_http(server, **options):
    url = f"http://127.0.0.1:{server[0].server_port}/rerank"
    return http.load(RerankSetup(settings=Settings(offline=True), options={"url": url, **options}))


def test_http_sends_words_and_nothing_else(store, encoder, server):
    add(store, IMAGE, secret_name=colour("red"))
    found = ask(store, encoder, over_http(server))
    assert found.notes == ()
    [body] = server[1]
    assert body.keys() == {"query", "texts"}
    assert body["query"] == "red"
    assert sorted(body["texts"]) == sorted(TEXTS.values())
    assert "secret" not in json.dumps(body)
    place = names(ask(store, encoder, None)).index("secret_name")
    longest = ["t5", "t4", "t3", "t2", "t1", "t0"]
    assert names(found) == [*longest[:place], "secret_name", *longest[place:]]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"scores": [1, 2]}, "expected 6 scores, got 2 scores"),
        ({"score": [1]}, "expected 6 scores, got no list of scores"),
        ([1, 2, 3, 4, 5, 6], "got no list of scores"),
        ({"scores": ["a"] * 6}, "a score is no number"),
        ({"scores": [None] * 6}, "a score is no number"),
        ({"scores": [math.nan] * 6}, "a score is not a finite number"),
    ],
)
def test_a_wrong_answer_over_http_is_said(store, encoder, before, server, answer, why):
    server[2].answer = staticmethod(lambda body: answer)
    found = ask(store, encoder, over_http(server))
    assert names(found) == before
    assert why in found.notes[0]


def test_nobody_at_the_address(store, encoder, before):
    nobody = http.HttpReranker(url="http://127.0.0.1:9/", timeout_s=2)
    found = ask(store, encoder, nobody)
    assert names(found) == before
    assert "http://127.0.0.1:9/: no usable answer" in found.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "url is ''; expected an http"),
        ({"url": "file:///etc/passwd"}, "expected an http"),
        ({"url": "http://example.org/"}, "not asked, because polyseek is set to offline"),
        ({"url": "http://127.0.0.1/", "timeout_s": 0}, "timeout_s is 0"),
        ({"url": "http://127.0.0.1/", "timeout_s": "1"}, "timeout_s is '1'"),
        ({"url": "http://127.0.0.1/", "key": "x"}, "unknown key 'key'"),
    ],
)
def test_wrong_http_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        http.load(RerankSetup(settings=Settings(offline=True), options=options))
