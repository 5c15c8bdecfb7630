"""Is a passage found better by its best sentence?

    python benchmarks/passage_sentences.py --photos PHOTOS --out RESULTS.json

Passages are captions of different photographs of PHOTOS one after the other, and queries are other
captions of the same photographs: the passage with the photograph in it is right. Such passages jump
from one thing to the next, so this is the most that can be won. The reranker `patches` is behind a
search by embeddings, with weights around its own. `--cache` is a folder that `stages.py` shares.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.api.opening import manifest_of
from polyseek.core.config import SearchOptions, resolve_settings
from polyseek.core.metrics import first_ranks, mean_interval, ndcg_at, paired_test, recall_at
from polyseek.core.reranking import RerankSetup
from polyseek.core.retriever import Rerank, Retriever, SearchMode
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.encode.mini import MiniEncoder, load
from polyseek.encode.mini_defaults import defaults
from polyseek.search.pipeline import search
from polyseek.search.rerankers import patches
from polyseek.store.lance import LanceStore
from stage_tasks import CAPTIONS, embedded, of_row, rows_of

SENTENCES = (3, 5, 10)
PASSAGES = 100
WEIGHTS = (0.0, 10.0, 20.0, 40.0)
DEPTH = 50


def store_of(folder: Path, encoder: MiniEncoder, texts: list[str]) -> LanceStore:
    """A collection of passages."""
    store = LanceStore.create(str(folder), manifest_of(encoder.info), resident=True)
    segments = [
        Segment(asset_uri=f"mem:/{i}", modality=Modality.TEXT, text=text)
        for i, text in enumerate(texts)
    ]
    records = [
        AssetRecord(
            uri=f"mem:/{i}", status=AssetStatus.INDEXED, modalities=(Modality.TEXT,), etag="",
            size_bytes=1,
        )
        for i in range(len(texts))
    ]  # fmt: skip
    rows = encoder.encode(Modality.TEXT, texts, role=Role.DOCUMENT)
    with store.writing():
        store.upsert(records, [SegmentBatch(Modality.TEXT, segments, rows)])
        store.optimize()
    return store


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    encoder = load(resolve_settings())
    seen = embedded(encoder, given.photos, given.cache and given.cache / "photos.npz")
    texts = [row["texts"] for row in rows_of(given.photos)]
    result: dict[str, Any] = {}
    for count in SENTENCES:
        chosen = np.random.default_rng(0).permutation(len(texts))[: PASSAGES * count]
        passages = [
            " ".join(texts[i][0].strip().rstrip(" .") + "." for i in part)
            for part in chosen.reshape(PASSAGES, count)
        ]
        owners = np.repeat(np.arange(PASSAGES), count)
        gains = (owners[:, None] == np.arange(PASSAGES)).astype(np.float64)
        rows = chosen * CAPTIONS + 1
        queries = [
            of_row(Modality.TEXT, str(seen["texts"][i]), seen["txt_s"][i], seen["txt_t"][i])
            for i in rows
        ]
        base: Any = None
        for weight in WEIGHTS:
            with tempfile.TemporaryDirectory() as folder:
                store = store_of(Path(folder) / "passages", encoder, passages)
                settings = replace(resolve_settings(), home=Path(folder) / "home")
                patches.WEIGHT = weight
                reranker = patches.load(RerankSetup(settings=settings, encoder=encoder))
                options = SearchOptions(
                    limit=DEPTH, show_all=True, mode=SearchMode.DENSE,
                    retriever=Retriever(rerank=Rerank(budget_ms=3_600_000)),
                )  # fmt: skip
                ranked = np.zeros((len(queries), DEPTH))
                for q, query in enumerate(queries):
                    found = search(
                        query, encoder=encoder, store=store, options=options, defaults=defaults(),
                        rerankers={"patches": reranker} if weight else {},
                    )  # fmt: skip
                    order = [int(hit.uri.rsplit("/", 1)[1]) for hit in found]
                    ranked[q, : len(order)] = gains[q, order]
            each = ndcg_at(ranked, gains, 10)
            base = each if base is None else base
            around = mean_interval(each, owners.tolist())
            name = f"{count} sentences, weight {weight:g}"
            result[name] = {
                "R@1": round(100 * float(recall_at(first_ranks(ranked), 1).mean()), 2),
                "nDCG@10": round(100 * float(each.mean()), 2),
                "nDCG@10 interval": [round(100 * v, 2) for v in (around.low, around.high)],
                "p": round(paired_test(base, each, owners.tolist()), 4),
            }
            print(name, result[name], flush=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
