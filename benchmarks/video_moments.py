"""Are videos ranked better by their best moments together, and shots by the frames a query likes?

    python benchmarks/video_moments.py --photos PHOTOS --out benchmarks/results/video_moments.json

Forty videos are made, each of six shots of two seconds, each a pan over a photograph of PHOTOS
(``manifest.jsonl``, ``path``, ``texts``); no photograph is shown twice. They are decoded, cut into
shots and embedded as any video is. Two kinds of queries know the answer: a caption belongs to one
shot of one video, and a *thing* is in every shot whose captions name it (three of five), so that
videos are right by how many of their shots show it. `--cache` keeps the frames' embeddings.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyseek.api.opening import manifest_of
from polyseek.core.config import SearchOptions, resolve_settings
from polyseek.core.hits import Query
from polyseek.core.metrics import mean_interval, ndcg_at, paired_test, recall_at
from polyseek.core.retriever import Group, Retriever
from polyseek.core.types import (
    Asset,
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Modality,
    Role,
    Segment,
    SegmentBatch,
    Span,
    SpanUnit,
)
from polyseek.encode import heads
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.encode.towers import unit
from polyseek.ingest.decode import decoder_for, decoders, segmenters
from polyseek.learn.hub import hub_bias
from polyseek.search.embed import embed
from polyseek.search.pipeline import search
from polyseek.store.lance import LanceStore

VIDEOS, SHOTS, SHOT_S, FPS = 40, 6, 2.0, 8
SIDE, WINDOW = 224, 160
POOLS = (1, 2, 3, 5)
THINGS = {
    "a dog": r"\bdogs?\b",
    "children": r"\b(children|child|kids?|boys?|girls?)\b",
    "water": r"\b(water|ocean|lake|river|pool|sea)\b",
    "snow": r"\bsnow\w*\b",
    "a bicycle": r"\b(bikes?|bicycles?|biker|cyclist)\b",
    "a ball": r"\b(ball|soccer|football|basketball|tennis)\b",
    "a crowd of people": r"\b(crowd|audience|people)\b",
    "the beach": r"\b(beach|sand)\b",
    "climbing": r"\b(climb\w*|rock face|cliff)\b",
    "a skateboard": r"\b(skateboard\w*|skater)\b",
    "grass": r"\b(grass|grassy|field)\b",
    "a street": r"\b(street|sidewalk|city)\b",
}

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Film:
    """Shots of all videos.

    Attributes:
        video: ``(n,)`` which video a shot belongs to.
        spans: ``(n, 2)`` seconds.
        frames: ``(m, 512)`` the image tower's embeddings of all frames.
        shot: ``(m,)`` which shot a frame belongs to.
    """

    video: NDArray[np.int64]
    spans: Numbers
    frames: Floats
    shot: NDArray[np.int64]

    def towers(self) -> Floats:
        """``(n, 512)`` of the shots, as the encoder makes them."""
        count = len(self.video)
        return unit(np.stack([self.frames[self.shot == i].mean(axis=0) for i in range(count)]))

    def photo(self) -> NDArray[np.int64]:
        """``(n,)`` place of the photograph that a shot shows most of, among those of its video."""
        middle = self.spans.mean(axis=1) // SHOT_S
        found: NDArray[np.int64] = self.video * SHOTS + middle.clip(0, SHOTS - 1).astype(np.int64)
        return found


def write(path: Path, photos: list[Path]) -> None:
    """A video of pans over photographs."""
    steps = round(SHOT_S * FPS)
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        track.width = track.height = WINDOW
        track.pix_fmt = "yuv420p"
        for i, photo in enumerate(photos):
            image = Image.open(photo).convert("RGB").resize((SIDE, SIDE))
            for step in range(steps):
                x = round((SIDE - WINDOW) * step / (steps - 1))
                y = round((SIDE - WINDOW) * (i % 2))
                window = image.crop((x, y, x + WINDOW, y + WINDOW))
                pixels = np.asarray(window)
                file.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(track.encode(None))


def shots_of(path: Path) -> Iterator[Segment]:
    """The shots of a video, as indexing finds them."""
    asset = Asset(
        uri=path.as_uri(), path=path.name, size_bytes=path.stat().st_size, etag="",
        modified=datetime.now(UTC),
    )  # fmt: skip
    with path.open("rb") as stream:
        for media in decoder_for(asset, decoders()).open(asset, stream):
            if media.modality is Modality.VIDEO:
                yield from segmenters()[Modality.VIDEO].split(asset, media)


def filmed(encoder: MiniEncoder, photos: list[Path], cache: Path | None) -> Film:
    """All shots with their frames, from the cache where there is one."""
    if cache and cache.exists():
        with np.load(cache) as kept:
            return Film(**kept)
    prepare = encoder.info.towers[Modality.IMAGE].prepare
    video: list[int] = []
    spans: list[tuple[float, float]] = []
    frames: list[Floats] = []
    shot: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(VIDEOS):
            path = Path(folder) / f"{number}.mp4"
            write(path, photos[number * SHOTS : (number + 1) * SHOTS])
            for segment in shots_of(path):
                assert segment.span is not None  # noqa: S101 - shots have one
                assert isinstance(segment.signal, list)  # noqa: S101 - of frames
                rows = encoder.encode(
                    Modality.IMAGE, [prepare(one) for one in segment.signal], role=Role.DOCUMENT
                ).tower
                frames.append(rows)
                shot += [len(video)] * len(rows)
                video.append(number)
                spans.append((segment.span.start, segment.span.end))
            print(f"{number}: {len(video)} shots, {len(shot)} frames", flush=True)
    found = Film(np.array(video), np.array(spans), np.concatenate(frames), np.array(shot))
    if cache:
        np.savez(cache, allow_pickle=False, **vars(found))
    return found


def store_of(folder: Path, encoder: MiniEncoder, film: Film) -> LanceStore:
    """A collection of the videos."""
    store = LanceStore.create(str(folder), manifest_of(encoder.info), resident=True)
    towers = film.towers()
    shared = heads.shipped().image(towers)
    segments = [
        Segment(
            asset_uri=f"mem:/{v}", modality=Modality.VIDEO,
            span=Span(unit=SpanUnit.SECONDS, start=a, end=b),
        )
        for v, (a, b) in zip(film.video.tolist(), film.spans.tolist(), strict=True)
    ]  # fmt: skip
    records = [
        AssetRecord(uri=f"mem:/{v}", status=AssetStatus.INDEXED, modalities=(Modality.VIDEO,),
                    etag="", size_bytes=1)
        for v in range(VIDEOS)
    ]  # fmt: skip
    bias = {Modality.TEXT: hub_bias(shared, defaults().bank.shared)}
    rows = Embeddings(shared=shared, tower=towers)
    with store.writing():
        store.upsert(records, [SegmentBatch(Modality.VIDEO, segments, rows, bias)])
        store.optimize()
    return store


def summary(
    values: Mapping[str, Numbers], base: Mapping[str, Numbers], groups: list[int]
) -> dict[str, Any]:
    """Means in percent with intervals, and p against the first way."""
    row: dict[str, Any] = {}
    for name, each in values.items():
        around = mean_interval(each, groups)
        row[name] = round(100 * float(each.mean()), 2)
        row[f"{name} interval"] = [round(100 * v, 2) for v in (around.low, around.high)]
        row[f"{name} p"] = round(paired_test(base[name], each, groups), 4)
    return row


def pools(
    encoder: MiniEncoder,
    store: LanceStore,
    queries: list[Query],
    gains: Numbers,
    places: Callable[[int, Any], float],
) -> dict[str, Any]:
    """Videos ranked by their best moments, by how many.

    Args:
        encoder: That embedded the videos.
        store: The videos.
        queries: Texts.
        gains: ``(q, videos)``.
        places: 1 where a hit's best moment is right for the query.
    """
    found: dict[str, Any] = {}
    base: dict[str, Numbers] = {}
    for count in POOLS:
        options = SearchOptions(
            limit=VIDEOS, show_all=True, retriever=Retriever(group=Group(pool=count))
        )
        ranked, right = np.zeros_like(gains), np.zeros(len(queries))
        for q, query in enumerate(queries):
            hits = list(
                search(query, encoder=encoder, store=store, options=options, defaults=defaults())
            )
            order = [int(hit.uri.rsplit("/", 1)[1]) for hit in hits]
            ranked[q, : len(order)] = gains[q, order]
            right[q] = places(q, hits[0])
        ranks = np.where(ranked.max(axis=1) > 0, (ranked > 0).argmax(axis=1) + 1, VIDEOS + 1)
        values = {
            "R@1": recall_at(ranks.astype(np.float64), 1),
            "nDCG@10": ndcg_at(ranked, gains, 10),
            "first moment right": right,
        }
        base = base or values
        found[f"best {count}"] = summary(values, base, list(range(len(queries))))
        print(f"best {count}", found[f"best {count}"])
    return found


def frame_pooling(asked: Floats, film: Film, right: NDArray[np.int64]) -> dict[str, Any]:
    """Shots ranked by what stands for their frames: the mean, the best, or what a query likes."""
    head = heads.shipped()
    by_frame = asked @ head.image(film.frames).T
    mine = [film.shot == i for i in range(len(film.video))]

    def liked(sharpness: float) -> Numbers:
        columns = []
        for own in mine:
            share = np.exp(sharpness * (by_frame[:, own] - by_frame[:, own].max(1, keepdims=True)))
            share /= share.sum(axis=1, keepdims=True)
            rows = head.image(unit(share @ film.frames[own]))
            columns.append(np.vecdot(rows, asked))
        return np.stack(columns, axis=1).astype(np.float64)

    ways = {
        "mean of the frames": (asked @ head.image(film.towers()).T).astype(np.float64),
        "best frame": np.stack([by_frame[:, own].max(axis=1) for own in mine], axis=1),
        "mean of the frames' cosines": np.stack(
            [by_frame[:, own].mean(axis=1) for own in mine], axis=1
        ),
        "frames by what the query likes, sharpness 10": liked(10),
        "frames by what the query likes, sharpness 30": liked(30),
        "frames by what the query likes, sharpness 100": liked(100),
    }
    photo = film.photo()
    gains = (right[:, None] == photo[None]).astype(np.float64)
    found: dict[str, Any] = {}
    base: dict[str, Numbers] = {}
    for name, scores in ways.items():
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(gains, order, axis=1)
        ranks = np.where(ranked.max(axis=1) > 0, ranked.argmax(axis=1) + 1, ranked.shape[1] + 1)
        values = {
            "R@1": recall_at(ranks.astype(np.float64), 1),
            "R@10": recall_at(ranks.astype(np.float64), 10),
            "nDCG@10": ndcg_at(ranked, gains, 10),
        }
        base = base or values
        found[name] = summary(values, base, right.tolist())
        print(name, found[name])
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    encoder = load(resolve_settings())
    lines = (given.photos / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    chosen = np.random.default_rng(0).permutation(len(rows))[: VIDEOS * SHOTS]
    rows = [rows[i] for i in chosen]
    film = filmed(encoder, [given.photos / row["path"] for row in rows], given.cache)
    captions = [(i, text) for i, row in enumerate(rows) for text in row["texts"][:2]]
    queries = [_embedded(encoder, text) for _, text in captions]
    owners = np.array([i for i, _ in captions])
    shows = np.array([
        [sum(bool(re.search(what, text.lower())) for text in row["texts"]) >= 3 for row in rows]
        for what in THINGS.values()
    ])  # fmt: skip
    result: dict[str, Any] = {
        "videos": VIDEOS, "shots": len(film.video), "frames": len(film.shot),
        "captions": len(captions),
    }  # fmt: skip
    of_captions = np.zeros((len(captions), VIDEOS))
    of_captions[np.arange(len(captions)), owners // SHOTS] = 1
    of_things = shows.reshape(len(THINGS), VIDEOS, SHOTS).sum(axis=2).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder) / "videos", encoder, film)

        def at(hit: Any) -> int:
            middle = (hit.span.start + hit.span.end) / 2 // SHOT_S
            return int(hit.uri.rsplit("/", 1)[1]) * SHOTS + int(min(middle, SHOTS - 1))

        print("captions -> videos")
        result["captions -> videos"] = pools(
            encoder, store, queries, of_captions, lambda q, hit: float(at(hit) == owners[q])
        )
        print("things -> videos")
        things = [_embedded(encoder, thing) for thing in THINGS]
        result["things -> videos"] = pools(
            encoder, store, things, of_things, lambda q, hit: float(shows[q, at(hit)])
        )
    print("captions -> shots")
    vectors = [query.embeddings.shared[0] for query in queries if query.embeddings is not None]
    result["captions -> shots"] = frame_pooling(np.stack(vectors), film, owners)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _embedded(encoder: MiniEncoder, text: str) -> Query:
    """A text that is embedded once."""
    query = Query(modality=Modality.TEXT, signals=[text], label=text)
    return Query(modality=Modality.TEXT, signals=(), label=text, embeddings=embed(query, encoder))


if __name__ == "__main__":
    main()
