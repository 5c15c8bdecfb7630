"""What `stages.py` asks, and the collections it asks: photographs, sounds, queries and answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.api.composing import read_file
from polyseek.api.opening import manifest_of
from polyseek.core.adapting import Adapter, Adapters, Direction, Use
from polyseek.core.hits import Query
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.encode.mini import MiniEncoder
from polyseek.encode.mini_defaults import defaults
from polyseek.ingest.decoders.image import flatten
from polyseek.learn.adapters.ladder import Task as FittingTask
from polyseek.learn.adapters.pairs import Linked, Side
from polyseek.learn.adapters.trial import climb
from polyseek.learn.hub import hub_bias
from polyseek.search.embed import embed
from polyseek.store.lance import LanceStore
from quality_audio import PHRASES

ADAPT_PHOTOS, CAPTIONS = 300, 5
SAME_THING = 0.45
_STOP = frozenset(
    "a an the in on of and is are with at to his her its their by for from as it he she two three "
    "man woman person people boy girl men women wearing while near other into front up down out "
    "over through some group young standing one there that another".split()
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Queries over one modality.

    Attributes:
        queries: With their embeddings.
        own: Row of the query itself, which is no answer; -1 for none.
        gains: ``(q, n)``.
        groups: ``(q,)`` what each query is about.
    """

    modality: Modality
    queries: Sequence[Query]
    own: Sequence[int]
    gains: NDArray[np.float64]
    groups: Sequence[int]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").open(encoding="utf-8")]


def same_thing(captions: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """``(n, n)`` 1 where the words of two photographs' captions agree."""
    documents = [
        Counter(
            w for text in texts for w in set(re.findall("[a-z]+", text.lower()))
            if w not in _STOP and len(w) > 2
        )
        for texts in captions
    ]  # fmt: skip
    spread = Counter(w for document in documents for w in document)
    column = {w: i for i, w in enumerate(w for w, count in spread.items() if count > 2)}
    table = np.zeros((len(documents), len(column)))
    for i, document in enumerate(documents):
        for word, count in document.items():
            if word in column:
                table[i, column[word]] = count * np.log(len(documents) / spread[word])
    table /= np.linalg.norm(table, axis=1, keepdims=True) + 1e-9
    alike = table @ table.T
    np.fill_diagonal(alike, 0)
    return (alike >= SAME_THING).astype(np.float64)


def embedded(
    encoder: MiniEncoder, photos: Path, cache: Path | None, *, count: int | None = None
) -> dict[str, Any]:
    """Embeddings of the first photographs and their captions, from the cache where there is one."""
    if cache and cache.exists():
        with np.load(cache) as kept:
            return dict(kept)
    rows = rows_of(photos)[:count]
    prepare = encoder.info.towers[Modality.IMAGE].prepare
    pictures = [prepare(flatten(Image.open(photos / row["path"]))) for row in rows]
    seen = encoder.encode(Modality.IMAGE, pictures, role=Role.DOCUMENT)
    texts = [text for row in rows for text in row["texts"]]
    parts = [
        encoder.encode(Modality.TEXT, texts[i : i + 32], role=Role.QUERY)
        for i in range(0, len(texts), 32)
    ]
    found = {
        "img_s": seen.shared, "img_t": seen.tower, "texts": np.array(texts),
        "txt_s": np.concatenate([part.shared for part in parts]),
        "txt_t": np.concatenate([part.tower for part in parts]),
    }  # fmt: skip
    if cache:
        np.savez(cache, allow_pickle=False, **found)
    return found


def store_of(
    folder: Path, encoder: MiniEncoder, uris: Sequence[str], modality: Modality, rows: Embeddings
) -> LanceStore:
    """A collection in memory of one segment per asset."""
    store = LanceStore.create(str(folder), manifest_of(encoder.info), resident=True)
    segments = [Segment(asset_uri=uri, modality=modality) for uri in uris]
    records = [
        AssetRecord(
            uri=uri, status=AssetStatus.INDEXED, modalities=(modality,), etag="", size_bytes=1
        )
        for uri in uris
    ]
    bias = {Modality.TEXT: hub_bias(rows.shared, defaults().bank.shared)}
    with store.writing():
        store.upsert(records, [SegmentBatch(modality, segments, rows, bias)])
        store.optimize()
    return store


def of_row(query: Modality, label: str, shared: Floats, tower: Floats) -> Query:
    """A query that is embedded already."""
    rows = Embeddings(shared=shared[None], tower=tower[None])
    return Query(modality=query, signals=(), label=label, embeddings=rows)


def photo_tasks(found: Mapping[str, Any], captions: Sequence[Sequence[str]]) -> dict[str, Task]:
    """Captions -> photographs, and photographs -> photographs of the same thing."""
    each = [i for owner, texts in enumerate(captions) for i in [owner] * len(texts)]
    chosen = [i for i in range(len(each)) if i % 5 == 0]
    owners = [each[i] for i in chosen]
    gains = np.zeros((len(chosen), len(captions)))
    gains[np.arange(len(chosen)), owners] = 1
    same = same_thing(captions)
    asked = np.flatnonzero(same.any(axis=1)).tolist()
    return {
        "text -> image": Task(
            modality=Modality.IMAGE,
            queries=[
                of_row(Modality.TEXT, str(found["texts"][i]), found["txt_s"][i], found["txt_t"][i])
                for i in chosen
            ],
            own=[-1] * len(chosen), gains=gains, groups=owners,
        ),
        "image -> image": Task(
            modality=Modality.IMAGE,
            queries=[
                of_row(Modality.IMAGE, f"photo {i}", found["img_s"][i], found["img_t"][i])
                for i in asked
            ],
            own=asked, gains=same[asked], groups=asked,
        ),
    }  # fmt: skip


def sound_task(encoder: MiniEncoder, folder: Path) -> tuple[Task, Embeddings, list[str]]:
    """Sounds -> others of their class."""
    rows = rows_of(folder)
    paths = [folder / row["path"] for row in rows]
    parts = []
    for path in paths:
        query = read_file(path.absolute().as_uri())
        if query is None:
            raise SystemExit(f"{path}: cannot be read")
        parts.append(embed(query, encoder))
    all_rows = Embeddings.concat(parts)
    labels = np.array([row["label"] for row in rows])
    gains = (labels[:, None] == labels).astype(np.float64)
    np.fill_diagonal(gains, 0)
    queries = [
        of_row(Modality.AUDIO, path.name, all_rows.shared[i], all_rows.tower[i])
        for i, path in enumerate(paths)
    ]
    task = Task(
        modality=Modality.AUDIO, queries=queries, own=list(range(len(rows))), gains=gains,
        groups=list(range(len(rows))),
    )  # fmt: skip
    return task, all_rows, [path.absolute().as_uri() for path in paths]


def phrase_task(encoder: MiniEncoder, folder: Path) -> Task:
    """Everyday phrasings of classes -> sounds of the class."""
    labels = np.array([row["label"] for row in rows_of(folder)])
    asked = [(name, text) for name, texts in PHRASES.items() for text in texts.split("|")]
    rows = encoder.encode(Modality.TEXT, [text for _, text in asked], role=Role.QUERY)
    wanted = np.array([name for name, _ in asked])
    return Task(
        modality=Modality.AUDIO,
        queries=[
            of_row(Modality.TEXT, text, rows.shared[i], rows.tower[i])
            for i, (_, text) in enumerate(asked)
        ],
        own=[-1] * len(asked), gains=(wanted[:, None] == labels).astype(np.float64),
        groups=[list(PHRASES).index(name) for name in wanted],
    )  # fmt: skip


def adapted(encoder: MiniEncoder, folder: Path, cache: Path | None) -> Adapters:
    """An adapter fitted on the captions of the first photographs."""
    found = embedded(encoder, folder, cache, count=ADAPT_PHOTOS)
    words = [str(text) for text in found["texts"]]
    first: dict[str, int] = {}
    links = {
        (first.setdefault(text, len(first)), row // CAPTIONS) for row, text in enumerate(words)
    }
    rows = np.array([words.index(text) for text in first])
    pair = (Modality.TEXT, Modality.IMAGE)
    pairs = Linked(
        first=Side(
            modality=pair[0], keys=list(first),
            embeddings=Embeddings(shared=found["txt_s"][rows], tower=found["txt_t"][rows]),
        ),
        second=Side(
            modality=pair[1], keys=[str(i) for i in range(len(found["img_s"]))],
            embeddings=Embeddings(shared=found["img_s"], tower=found["img_t"]),
        ),
        links=np.array(sorted(links), np.int64),
    )  # fmt: skip
    none = np.zeros((0, found["img_s"].shape[1]), np.float32)
    verdict = climb(FittingTask(pairs=pairs, distractors=none))
    fitted = verdict.after.fitted
    if fitted is None or not verdict.better:
        raise SystemExit(f"no adapter is better on held-out pairs: {verdict.to_dict()}")
    direction = Direction(map=fitted.map, strength=fitted.strength, rung=verdict.after.rung)
    info = encoder.info
    adapter = Adapter(
        name="benchmark", encoder=f"{info.name}@{info.revision}", directions={pair: direction}
    )
    use = Use(adapter=adapter.name, strength=fitted.strength)
    return Adapters(uses={pair: use}, by_name={adapter.name: adapter})
