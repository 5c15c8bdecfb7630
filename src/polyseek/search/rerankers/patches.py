"""Late interaction: the query looks for the part of a hit that it fits best.

In a picture every word of the query looks for its own part; in a sound the whole query looks for
one moment, and in a passage for a sentence that fits better than all of it. Other hits keep the
evidence they have. Parts are embedded when they are first looked at and kept as int8 in the model
cache's folder ``patches``: 19 KB a picture, 8 KB for 10 s of sound, .4 KB a sentence.

Source: late interaction (MaxSim), Khattab, Zaharia: ColBERT, SIGIR 2020.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np

from polyseek.core.errors import ConfigError, QueryError
from polyseek.core.hits import Hit
from polyseek.core.protocols import PatchEncoder, SoundPatchEncoder
from polyseek.core.reranking import Candidate, Question, RerankSetup
from polyseek.core.texts import several_sentences
from polyseek.core.types import Embeddings, Floats, Modality, Role, Signal
from polyseek.search.compose import log_odds

WEIGHT = 20.0
"""Of the fit, a cosine, in the log-odds: chosen on photos that no figure is reported on, and taken
over for sounds and texts."""

HEAD = 8
"""Hits of a modality whose mean says what one of this query usually gets."""

MAX_KEPT = 1024
"""Hits whose parts stay in memory."""

MAX_SENTENCES = 32
"""Of a passage."""

_Fit: TypeAlias = "Callable[[Floats], float]"
"""``(parts, dim)`` of a hit -> how well the best of them fit the query."""

_log = logging.getLogger(__name__)


class PatchReranker:
    """Adds what the query finds in the parts of a hit to the logarithm of its odds.

    Args:
        encoder: Embeds words and parts of pictures, and perhaps parts of sounds.
        signal_of: What a hit holds, as in `RerankSetup`.
        folder: Where embedded parts are kept.
    """

    def __init__(
        self, encoder: PatchEncoder, signal_of: Callable[[Hit], Signal | None], folder: Path
    ) -> None:
        self._encoder, self._signal_of, self._folder = encoder, signal_of, folder
        self._parts: dict[str, Floats | None] = {}

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterator[float]:
        """See `polyseek.core.protocols.Reranker`."""
        fits = {
            modality: fit
            for modality, fit in (
                (Modality.IMAGE, self._words_in(question)),
                (Modality.AUDIO, self._moment_of(question)),
                (Modality.TEXT, self._sentence_of(question)),
            )
            if fit is not None
        }
        if not fits:
            raise QueryError("the query has no word that the encoder knows the look or sound of")
        usual = {m: self._usual(candidates, m, fit) for m, fit in fits.items()}
        for place, one in enumerate(candidates):
            known, modality = one.probability, one.hit.modality
            before = -float(place) if known is None else float(log_odds(np.array([known]))[0])
            parts = self._of(one) if modality in fits else None
            if parts is None:
                yield before
            else:
                yield before + WEIGHT * (fits[modality](parts) - usual[modality])

    def where(self, question: Question, hit: Hit) -> Floats | None:
        """``(rows, columns)`` how well each part of a picture fits the words; None where unknown.

        The parts are those of its centre square, which is what the encoder looks at.
        """
        vectors, weights = self._words(question)
        parts = self._looked_at(hit) if hit.modality is Modality.IMAGE else None
        if parts is None or not len(vectors):
            return None
        side = int(np.sqrt(len(parts)))
        fits: Floats = np.vecdot(_fits(parts, vectors), weights)
        return fits.reshape(side, side)

    def _words(self, question: Question) -> tuple[Floats, Floats]:
        """``(w, dim)`` vectors of the wanted words, and their weights, which sum to 1."""
        vectors, weights = self._encoder.words(question.words)
        return vectors, weights / max(float(weights.sum()), 1e-12)

    def _words_in(self, question: Question) -> _Fit | None:
        """The mean over the words of each one's best part of a picture."""
        vectors, weights = self._words(question)
        if not len(vectors):
            return None
        return lambda parts: float(np.vecdot(_fits(parts, vectors).max(axis=0), weights))

    def _moment_of(self, question: Question) -> _Fit | None:
        """The wanted texts' best moment of a sound."""
        if not isinstance(self._encoder, SoundPatchEncoder):
            return None
        pair = Modality.TEXT, Modality.AUDIO
        return _best([w * rows.compared(pair).mean(axis=0) for w, rows in _texts(question)])

    def _sentence_of(self, question: Question) -> _Fit | None:
        """How much better the wanted texts' best sentence of a passage fits than all of it.

        A text of one sentence has nothing to add; its evidence is the whole of it already.
        """
        best = _best([w * rows.tower.mean(axis=0) for w, rows in _texts(question)])
        return best and (lambda parts: best(parts[1:]) - best(parts[:1]) if len(parts) > 1 else 0.0)

    def _usual(self, candidates: Sequence[Candidate], modality: Modality, fit: _Fit) -> float:
        """The mean fit of the first hits of a modality."""
        head = [one for one in candidates if one.hit.modality is modality][:HEAD]
        known = [parts for parts in map(self._of, head) if parts is not None]
        return float(np.mean([fit(parts) for parts in known])) if known else 0.0

    def _of(self, one: Candidate) -> Floats | None:
        """``(parts, dim)`` unit length; None for what is no whole picture or cannot be read.

        Of a text, itself and its sentences.
        """
        if one.hit.modality is not Modality.TEXT:
            return self._looked_at(one.hit)
        if not one.tower.size:
            return None
        whole, sentences = one.tower[None], several_sentences(one.hit.text or "")[:MAX_SENTENCES]
        if not sentences:
            return whole
        digest = _digest("\n".join(sentences))
        parts = self._kept(digest, lambda: self._read(sentences))
        return whole if parts is None else np.concatenate([whole, parts])

    def _read(self, sentences: Sequence[str]) -> Floats:
        tower = self._encoder.info.towers[Modality.TEXT]
        prepared = [tower.prepare(sentence) for sentence in sentences]
        return self._encoder.encode(Modality.TEXT, prepared, role=Role.DOCUMENT).tower

    def _looked_at(self, hit: Hit) -> Floats | None:
        """Parts of a picture or sound."""
        if hit.modality is Modality.IMAGE and hit.span:
            return None
        stamp = [hit.uri, str(hit.metadata.get("modified")), str(hit.metadata.get("size"))]
        digest = _digest("\n".join([*stamp, *([hit.span.key()] if hit.span else [])]))
        return self._kept(digest, lambda: self._embedded(hit))

    def _kept(self, digest: str, make: Callable[[], Floats | None]) -> Floats | None:
        """Parts from memory, else from the folder, else made and kept in both."""
        if digest not in self._parts:
            if len(self._parts) >= MAX_KEPT:
                self._parts.pop(next(iter(self._parts)), None)
            self._parts[digest] = self._load(digest, make)
        return self._parts[digest]

    def _load(self, digest: str, make: Callable[[], Floats | None]) -> Floats | None:
        path = self._folder / digest[:2] / f"{digest}.npy"
        try:
            return _unit(np.load(path).astype(np.float32))
        except (OSError, ValueError):  # not there yet, or cut short
            pass
        parts = make()
        if parts is None:
            return None
        scale = np.abs(parts).max(axis=1, keepdims=True) / 127
        small = np.round(parts / np.maximum(scale, 1e-12)).astype(np.int8)
        _keep(path, small)
        return _unit(small.astype(np.float32))

    def _embedded(self, hit: Hit) -> Floats | None:
        signal = self._signal_of(hit)
        if signal is None:
            return None
        if hit.modality is Modality.IMAGE:
            return self._encoder.patches(signal)
        if isinstance(self._encoder, SoundPatchEncoder):
            return self._encoder.sound_patches(signal)
        return None


def _texts(question: Question) -> list[tuple[float, Embeddings]]:
    """Weights and embeddings of the wanted texts."""
    asked = zip(question.query.terms, question.embeddings, strict=True)
    return [
        (term.weight, rows)
        for term, rows in asked
        if term.weight > 0 and term.query.modality is Modality.TEXT
    ]


def _best(vectors: Sequence[Floats]) -> _Fit | None:
    """The part that is nearest to the sum of vectors; None without any."""
    if not vectors or not vectors[0].size:
        return None
    vector = _unit(np.sum(vectors, axis=0)[None])
    return lambda parts: float(_fits(parts, vector).max())


def _keep(path: Path, rows: np.ndarray) -> None:
    """Write it whole or not at all; a folder that cannot be written costs time, no answers."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, rows)
        part.replace(path)
    except OSError as error:
        _log.warning("%s: parts of hits are not kept: %s", path.parent, error.strerror or error)
        with suppress(OSError):
            part.unlink()


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
    if not isinstance(encoder, PatchEncoder):
        name = encoder.info.name if encoder else "none"
        raise ConfigError(
            f"reranker 'patches' needs an encoder that embeds parts of pictures; '{name}' does not"
        )
    kept = setup.settings.home / "patches" / f"{encoder.info.name}-{encoder.info.revision}"
    return PatchReranker(encoder, setup.signal_of, kept)
