"""Texts -> token ids, through a `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import ModelLoadError
from polyseek.core.types import Floats, Role
from polyseek.encode.spec import Pooling, TextSpec

MAX_CHARS = 20_000
"""More than the tokens can hold; tokenising megabytes takes gigabytes."""


_COLUMNS = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
}


class Tokens:
    """A tokenizer with a model's own truncation, padding and prompts.

    Args:
        path: Finds the tokenizer's file when it is first needed.
        spec: How texts become tokens.
    """

    def __init__(self, path: Callable[[], Path], spec: TextSpec) -> None:
        self._path, self._spec = path, spec

    def _read(self) -> Any:
        from tokenizers import Tokenizer

        path = self._path()
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelLoadError(f"{path}: not readable as a tokenizer: {error}") from error

    @cached_property
    def _tokenizer(self) -> Any:
        tokenizer = self._read()
        tokenizer.enable_truncation(self._spec.max_tokens)
        pad = tokenizer.id_to_token(self._spec.pad_id) or ""
        tokenizer.enable_padding(
            direction="left" if self._spec.pad_left else "right",
            pad_id=self._spec.pad_id,
            pad_token=pad,
            length=self._spec.pad_to or None,
        )
        return tokenizer

    def __call__(self, batch: Sequence[str], role: Role) -> Mapping[str, NDArray[np.int64]]:
        """``input_ids``, ``attention_mask`` and ``token_type_ids``, ``(n, tokens)`` int64 each."""
        prefix = self._spec.query if role is Role.QUERY else self._spec.document
        texts = [prefix + text[:MAX_CHARS] for text in batch]
        if self._spec.lowercase:
            texts = [text.lower() for text in texts]
        found = self._tokenizer.encode_batch(texts)
        return {
            name: np.array([getattr(each, attribute) for each in found], dtype=np.int64)
            for name, attribute in _COLUMNS.items()
        }


def pooled(hidden: Floats, mask: NDArray[np.generic] | None, pooling: Pooling) -> Floats:
    """``(n, dim)`` of a graph's output: ``(n, dim)``, or ``(n, tokens, dim)`` token vectors."""
    if pooling is Pooling.NONE:
        return hidden
    if pooling is Pooling.FIRST:
        return hidden[:, 0]
    if mask is None:
        mask = np.ones(hidden.shape[:2], np.int64)
    if pooling is Pooling.LAST:
        last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
        found: Floats = hidden[np.arange(len(hidden)), last]
        return found
    weights = mask[..., None].astype(np.float32)
    tokens = np.maximum(weights.sum(axis=1), 1)  # a text may have none
    means: Floats = (hidden * weights).sum(axis=1) / tokens
    return means
