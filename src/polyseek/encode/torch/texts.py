"""A model's own tokenizer, with the length and padding it was trained with."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.core.errors import ModelLoadError
from polyseek.core.model_files import ModelFiles
from polyseek.core.torch_runtime import quiet, require
from polyseek.core.types import Role
from polyseek.encode.model import Feed, Tokenise
from polyseek.encode.spec import TextSpec
from polyseek.encode.tokens import MAX_CHARS, Tokens

_CLIP_PAIRS = 48_894  # its file holds more than it uses
_UNLIMITED = 1_000_000
_VOCABULARY = re.compile(r"^(tokenizer\.json|vocab\.(json|txt))$|\.(model|spm)$")
_FROM_PADDING = ("clap_text_model", "roberta", "xlm-roberta", "altclip_text_model")


class LibraryTokens:
    """A tokenizer that only the library can run: written in Python, with no file of its own."""

    def __init__(self, tokenizer: Any, spec: TextSpec) -> None:
        self._tokenizer, self._spec = tokenizer, spec

    def __call__(self, batch: Sequence[str], role: Role) -> Feed:
        """See `polyseek.encode.tokens.Tokens`."""
        prefix = self._spec.query if role is Role.QUERY else self._spec.document
        found = self._tokenizer(
            [prefix + text[:MAX_CHARS] for text in batch],
            padding="max_length" if self._spec.pad_to else True,
            truncation=True,
            max_length=self._spec.max_tokens,
            return_attention_mask=True,
            return_token_type_ids=True,
        )
        return {name: np.array(rows, dtype=np.int64) for name, rows in found.items()}


def tokenizer_of(files: ModelFiles, config: Any) -> tuple[Tokenise, TextSpec]:
    """What makes token ids, and how.

    Raises:
        ModelLoadError: The tokenizer's files are missing or cannot be read.
    """
    transformers = require("transformers", "a model of the transformers family")
    if not any(_VOCABULARY.search(path.name) for path in files.folder.iterdir()):
        # The library would make up a tokenizer that knows no word.
        raise ModelLoadError(f"{files.folder}: has no tokenizer; expected tokenizer.json")
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                files.folder, local_files_only=True
            )
    # The library raises what it meets, down to TypeError for a missing vocabulary.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelLoadError(
            f"{files.folder}: has no tokenizer that can be read ({told}); expected tokenizer.json"
        ) from error
    spec = text_spec(tokenizer, config)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return LibraryTokens(tokenizer, spec), spec
    return BackendTokens(backend, spec), spec


class BackendTokens(Tokens):
    """The library's tokenizer in the form that a `tokenizer.json` keeps."""

    def __init__(self, backend: Any, spec: TextSpec) -> None:
        super().__init__(Path, spec)
        self._text: str = backend.to_str()

    @classmethod
    def of(cls, path: Path, spec: TextSpec) -> BackendTokens:
        """Of a `tokenizer.json`.

        Raises:
            ModelLoadError: It cannot be read.
        """
        from tokenizers import Tokenizer

        try:
            return cls(Tokenizer.from_file(str(path)), spec)
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelLoadError(f"{path}: not readable as a tokenizer: {error}") from error

    def _read(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._text)

    def save(self, path: Path) -> None:
        """Write the `tokenizer.json`."""
        path.write_text(self._text, encoding="utf-8")


def clip_tokens(pairs: Path, spec: TextSpec) -> BackendTokens:
    """CLIP's tokenizer, from its file of byte pairs (``bpe_simple_vocab_16e6.txt.gz``)."""
    transformers = require("transformers", "CLIP's tokenizer")
    lines = gzip.decompress(pairs.read_bytes()).decode("utf-8").split("\n")
    merges = [tuple(line.split()) for line in lines[1 : _CLIP_PAIRS + 1]]
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return BackendTokens(transformers.CLIPTokenizer(vocabulary, merges).backend_tokenizer, spec)


def _byte_letters() -> list[str]:
    """The 256 letters that byte-level pairs write bytes with, in the order of their numbers."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printed] + [chr(256 + i) for i in range(256 - len(printed))]


def text_spec(tokenizer: Any, config: Any) -> TextSpec:
    """Length and padding: what the tokenizer says, and no more than the tower has places for."""
    text = getattr(config, "text_config", config)
    places = getattr(text, "max_position_embeddings", None) or _UNLIMITED
    if getattr(text, "model_type", "") in _FROM_PADDING:
        places -= (text.pad_token_id or 0) + 1  # RoBERTa counts places from there
    limit = min(tokenizer.model_max_length or _UNLIMITED, places)
    padded = config.model_type.startswith("siglip")
    pad = tokenizer.pad_token_id
    return TextSpec(
        max_tokens=int(limit) if limit < _UNLIMITED else 512,
        pad_to=int(limit) if padded else 0,
        pad_id=int(pad if pad is not None else 0),
        pad_left=tokenizer.padding_side == "left",
    )
