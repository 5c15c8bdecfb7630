"""The ``onnx`` family: a folder with `model.toml`, tower graphs and a tokenizer. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.core.config import Settings
from polyseek.core.errors import EncoderError
from polyseek.core.model_files import ModelFiles, check_licence
from polyseek.core.runtime import session
from polyseek.core.types import Floats, Modality
from polyseek.encode.model import Feed, ModelEncoder, Run
from polyseek.encode.spec import FILE, Spec, TowerSpec, read_spec
from polyseek.encode.tokens import Tokens

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class OnnxFamily:
    """See `polyseek.core.protocols.EncoderFamily`."""

    name: str = "onnx"

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """`model.toml`, the graphs with their external data, and tokenizers."""
        if FILE not in names:
            return []
        return [n for n in names if n == FILE or ".onnx" in n or n.endswith("tokenizer.json")]

    def look(self, folder: Path) -> None:
        """The description must be whole."""
        read_spec(folder / FILE)

    def load(self, files: ModelFiles, settings: Settings) -> ModelEncoder:
        """The encoder; graphs are loaded when they are first needed."""
        spec = read_spec(files.folder / FILE)
        check_licence(files.name, spec.licence, settings, noncommercial=spec.noncommercial)
        for name in spec.files:
            files.path(name)
        graphs: dict[str, Graph] = {}
        runs: dict[Modality, Run] = {}
        for modality, tower in spec.towers.items():
            graph = graphs.setdefault(
                tower.graph, Graph(files.path(tower.graph), threads=settings.threads)
            )
            runs[modality] = GraphRun(graph, tower)
        return ModelEncoder(files, spec, runs, tokenise=tokens_of(files, spec))


def tokens_of(files: ModelFiles, spec: Spec) -> Tokens | None:
    """What makes token ids of texts, for an encoder with a text tower."""
    tower = spec.towers.get(Modality.TEXT)
    text = tower.text if tower else None
    return Tokens(lambda: files.path(text.tokenizer), text) if text else None


class Graph:
    """An ONNX graph that is loaded when it is first needed; towers may share it."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self.path, self._threads = path, threads

    @cached_property
    def session(self) -> Any:
        """The ``onnxruntime.InferenceSession``."""
        return session(self.path, threads=self._threads)

    @cached_property
    def inputs(self) -> Mapping[str, Any]:
        """Type of each input by name."""
        return {each.name: _DTYPES.get(each.type) for each in self.session.get_inputs()}


@dataclass(frozen=True)
class GraphRun:
    """A tower's network in a graph."""

    graph: Graph
    tower: TowerSpec

    def __call__(self, feed: Feed) -> Floats:
        """See `polyseek.encode.model.Run`."""
        named = {self.tower.inputs.get(name, name): array for name, array in feed.items()}
        missing = set(self.graph.inputs) - set(named)
        if missing:
            raise EncoderError(
                f"{self.graph.path}: the graph's input '{min(missing)}' is not among "
                f"{', '.join(named)}; say in model.toml which it is: inputs = {{ NAME = "
                f'"{min(missing)}" }}'
            )
        given = {n: named[n].astype(kind, copy=False) for n, kind in self.graph.inputs.items()}
        wanted = [self.tower.output] if self.tower.output else None
        try:
            found = self.graph.session.run(wanted, given)[0]
        # The runtime's errors share no base class below Exception (InvalidArgument, Fail, ...).
        except Exception as error:
            told = " ".join(str(error).split())[:300]
            raise EncoderError(f"{self.graph.path}: the graph cannot be run: {told}") from error
        rows: Floats = np.asarray(found, dtype=np.float32)
        return rows
