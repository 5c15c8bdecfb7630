"""A reranker behind an HTTP address, with a small JSON protocol.

Asked: ``POST {"query": "...", "texts": ["...", ...]}``. Expected: ``{"scores": [1.5, ...]}``, one
number per text, higher is better. Only words leave this machine: the query as it was typed and the
texts of the hits. No paths, no metadata, no pictures, no embeddings. Hits without words are not
sent and keep their place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from polyseek.core.errors import ConfigError, QueryError
from polyseek.core.reranking import Candidate, Question, RerankSetup

MAX_ANSWER_BYTES = 1 << 20
MAX_CHARS = 4000
"""Of a hit's texts that are sent."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_KNOWN = frozenset({"url", "timeout_s"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReranker:
    """Sends words, receives scores.

    Attributes:
        url: Where to.
        timeout_s: How long an answer may take.
    """

    url: str
    timeout_s: float = 5.0

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterator[float | None]:
        """See `polyseek.core.protocols.Reranker`."""
        if not question.words:
            raise QueryError("the query has no words to send")
        texts = ["\n".join(candidate.texts)[:MAX_CHARS] for candidate in candidates]
        answer = iter(self._ask(question.words, [one for one in texts if one]))
        return iter([next(answer) if one else None for one in texts])

    def _ask(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        body = json.dumps({"query": query, "texts": texts}).encode()
        request = Request(  # noqa: S310 - http(s) only, checked by `load`
            self.url, body, {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urlopen(request, timeout=self.timeout_s) as response:  # noqa: S310 - as above
                read = json.loads(response.read(MAX_ANSWER_BYTES))
        except (HTTPException, OSError, ValueError) as error:
            raise QueryError(f"{self.url}: no usable answer: {error}") from error
        scores = read.get("scores") if isinstance(read, dict) else None
        if not isinstance(scores, list) or len(scores) != len(texts):
            got = f"{len(scores)} scores" if isinstance(scores, list) else "no list of scores"
            raise QueryError(f"{self.url}: expected {len(texts)} scores, got {got}")
        if not all(isinstance(s, (int, float)) and not isinstance(s, bool) for s in scores):
            raise QueryError(f"{self.url}: a score is no number")
        return [float(score) for score in scores]


def load(setup: RerankSetup) -> HttpReranker:
    """Entry point of the ``polyseek.rerankers`` group.

    Raises:
        ConfigError: There is no address, or it may not be reached.
    """
    url, timeout_s = setup.options.get("url", ""), setup.options.get("timeout_s", 5.0)
    if unknown := set(setup.options) - _KNOWN:
        raise ConfigError(
            f"[rerank.http] has an unknown key '{min(unknown)}'; known: url, timeout_s"
        )
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"[rerank.http] url is {url!r}; expected an http(s) address")
    if setup.settings.offline and parts.hostname not in _LOCAL:
        raise ConfigError(f"[rerank.http] {url}: not asked, because polyseek is set to offline")
    if isinstance(timeout_s, (bool, str)) or not 0 < timeout_s < 3600:
        raise ConfigError(f"[rerank.http] timeout_s is {timeout_s!r}; expected seconds above 0")
    return HttpReranker(url=str(url), timeout_s=float(timeout_s))
