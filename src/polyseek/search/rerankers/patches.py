"""Late interaction: every word of the query looks for the part of a picture that it fits best.

For pictures; other hits keep the evidence they have. Parts of pictures are embedded when they are
first looked at and kept as int8 in the model cache's folder ``patches``, 19 KB a picture.

Source: late interaction (MaxSim), Khattab, Zaharia: ColBERT, SIGIR 2020.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from polyseek.core.errors import ConfigError, QueryError
from polyseek.core.hits import Hit, Query
from polyseek.core.protocols import PatchEncoder
from polyseek.core.reranking import Candidate, Question, RerankSetup
from polyseek.core.types import Floats, Modality
from polyseek.search.compose import log_odds

WEIGHT = 20.0
"""Of the words' mean cosine in the log-odds, chosen on photos that no figure is reported on."""

HEAD = 8
"""Pictures whose mean says what a picture of this query usually gets."""

_log = logging.getLogger(__name__)


class PatchReranker:
    """Adds what words find in a picture to the logarithm of its odds.

    Args:
        encoder: Embeds words and parts of pictures.
        read: A file as a query, or None where it cannot be read.
        folder: Where embedded parts are kept.
    """

    def __init__(
        self, encoder: PatchEncoder, read: Callable[[str], Query | None], folder: Path
    ) -> None:
        self._encoder, self._read, self._folder = encoder, read, folder
        self._parts = lru_cache(maxsize=1024)(self._load)

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterator[float]:
        """See `polyseek.core.protocols.Reranker`."""
        vectors, weights = self._words(question)
        if not len(vectors):
            raise QueryError("the query has no word that the encoder knows the look of")
        pictures = [one for one in candidates if one.hit.modality is Modality.IMAGE]
        head = [self._fit(one.hit, vectors, weights) for one in pictures[:HEAD]]
        usual = float(np.mean([fit for fit in head if fit is not None] or [0.0]))
        for place, one in enumerate(candidates):
            known = one.probability
            before = -float(place) if known is None else float(log_odds(np.array([known]))[0])
            fit = self._fit(one.hit, vectors, weights)
            yield before if fit is None else before + WEIGHT * (fit - usual)

    def where(self, question: Question, hit: Hit) -> Floats | None:
        """``(rows, columns)`` how well each part of a picture fits the words; None where unknown.

        The parts are those of its centre square, which is what the encoder looks at.
        """
        vectors, weights = self._words(question)
        parts = self._of(hit)
        if parts is None or not len(vectors):
            return None
        side = int(np.sqrt(len(parts)))
        fits: Floats = np.vecdot(_fits(parts, vectors), weights)
        return fits.reshape(side, side)

    def _words(self, question: Question) -> tuple[Floats, Floats]:
        """``(w, dim)`` vectors of the wanted words, and their weights, which sum to 1."""
        vectors, weights = self._encoder.words(question.words)
        return vectors, weights / max(float(weights.sum()), 1e-12)

    def _fit(self, hit: Hit, vectors: Floats, weights: Floats) -> float | None:
        parts = self._of(hit)
        return (
            None if parts is None else float(np.vecdot(_fits(parts, vectors).max(axis=0), weights))
        )

    def _of(self, hit: Hit) -> Floats | None:
        """``(parts, dim)`` unit length; None for what is no whole picture or cannot be read."""
        if hit.modality is not Modality.IMAGE or hit.span is not None:
            return None
        stamp = f"{hit.uri}\n{hit.metadata.get('modified')}\n{hit.metadata.get('size')}"
        found: Floats | None = self._parts(hit.uri, _digest(stamp))
        return found

    def _load(self, uri: str, digest: str) -> Floats | None:
        path = self._folder / digest[:2] / f"{digest}.npy"
        try:
            return _unit(np.load(path).astype(np.float32))
        except (OSError, ValueError):  # not there yet, or cut short
            pass
        query = self._read(uri)
        if query is None or query.modality is not Modality.IMAGE:
            return None
        tower = self._encoder.info.towers[Modality.IMAGE]
        parts = self._encoder.patches(tower.prepare(query.signals[0]))
        scale = np.abs(parts).max(axis=1, keepdims=True) / 127
        small = np.round(parts / np.maximum(scale, 1e-12)).astype(np.int8)
        _keep(path, small)
        return _unit(small.astype(np.float32))


def _keep(path: Path, rows: np.ndarray) -> None:
    """Write it whole or not at all; a folder that cannot be written costs time, no answers."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, rows)
        part.replace(path)
    except OSError as error:
        _log.warning("%s: parts of pictures are not kept: %s", path.parent, error.strerror)


def _fits(parts: Floats, vectors: Floats) -> Floats:
    """``(parts, words)`` cosines; see `search.refine.products` for why not ``@``."""
    found: Floats = np.vecdot(parts[:, None], vectors[None])
    return found


def _unit(rows: Floats) -> Floats:
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return found


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def load(setup: RerankSetup) -> PatchReranker:
    """Entry point of the ``polyseek.rerankers`` group.

    Raises:
        ConfigError: The collection's encoder does not tell parts of pictures apart.
    """
    if setup.options:
        raise ConfigError(f"[rerank.patches] has no settings, got '{min(setup.options)}'")
    encoder = setup.encoder
    if not isinstance(encoder, PatchEncoder) or setup.read is None:
        name = encoder.info.name if encoder else "none"
        raise ConfigError(
            f"reranker 'patches' needs an encoder that embeds parts of pictures; '{name}' does not"
        )
    kept = setup.settings.home / "patches" / f"{encoder.info.name}-{encoder.info.revision}"
    return PatchReranker(encoder, setup.read, kept)
