"""Can the evaluation be trusted, and does `polyseek tune` with labels help on other photographs?

    python benchmarks/evaluation.py --photos PHOTOS --adapt OTHERS --work FOLDER --out RESULTS.json

PHOTOS and OTHERS hold different photographs with several captions each. Simulations: how often
95 % intervals hold the true value, how often two equal searches are called different. On PHOTOS:
every metric against trec_eval. Then labels: tuned on OTHERS with their captions, measured on
PHOTOS by way of searching. Collections are made in FOLDER, and used again when they are there.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytrec_eval
from numpy.typing import NDArray

import polyseek
from polyseek.core.metrics import (
    Values,
    average_precision_at,
    holm,
    mean_interval,
    ndcg_at,
    paired_test,
    ranked_gains,
    ranks,
    recall_at,
    reciprocal_ranks,
)
from polyseek.core.tuning import Tuning, WordEvidence
from polyseek.learn.labelled import calibration_error

TRIALS = 1_000
CAPTIONS = 5
Rows = Sequence[Mapping[str, Any]]


def hits(rng: np.random.Generator, assets: int, share: float) -> NDArray[np.float64]:
    """``(assets, captions)`` hits or misses; captions of one photograph share its difficulty."""
    from statistics import NormalDist

    threshold = NormalDist(sigma=2**0.5).inv_cdf(share)
    total = rng.normal(size=(assets, 1)) + rng.normal(size=(assets, CAPTIONS))
    return (total < threshold).astype(np.float64)


def coverage() -> list[dict[str, Any]]:
    """How often the interval of a recall holds the true one."""
    found = []
    for assets in (10, 30, 100):
        groups = np.repeat(np.arange(assets), CAPTIONS)
        for share in (0.5, 0.9):
            rng = np.random.default_rng(0)
            inside, alone, width = 0, 0, 0.0
            for _ in range(TRIALS):
                values = hits(rng, assets, share).ravel()
                interval = mean_interval(values, groups, samples=500)
                inside += share in interval
                alone += share in mean_interval(values, samples=500)
                width += interval.high - interval.low
            found.append({
                "assets": assets, "recall": share, "by_asset": inside / TRIALS,
                "by_query": alone / TRIALS, "mean_width": round(width / TRIALS, 4),
            })  # fmt: skip
    return found


def level() -> list[dict[str, Any]]:
    """How often two searches of equal quality are called different at 5 %."""
    found = []
    for assets in (12, 60, 200):
        groups = np.repeat(np.arange(assets), CAPTIONS)
        rng = np.random.default_rng(1)
        alone, by_query, any_of_six = 0, 0, 0
        for _ in range(TRIALS):
            first, second = (hits(rng, assets, 0.5).ravel() for _ in range(2))
            alone += paired_test(first, second, groups, samples=500) <= 0.05
            by_query += paired_test(first, second, samples=500) <= 0.05
            pairs = [(hits(rng, assets, s).ravel(), hits(rng, assets, s).ravel())
                     for s in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]  # fmt: skip
            p = [paired_test(a, b, groups, samples=500) for a, b in pairs]
            any_of_six += bool((holm(p) <= 0.05).any())
        found.append({
            "assets": assets, "by_asset": alone / TRIALS, "by_query": by_query / TRIALS,
            "any_of_six_figures_holm": any_of_six / TRIALS,
        })  # fmt: skip
    return found


def agreement(scores: NDArray[np.float64], gains: NDArray[np.float64]) -> dict[str, float]:
    """Largest difference of any query from trec_eval, by metric."""
    measures = {"success.1,5,10", "recip_rank", "ndcg_cut.10", "map_cut.10"}
    qrels = {
        str(q): {str(i): int(g) for i, g in enumerate(row) if g} for q, row in enumerate(gains)
    }
    run = {str(q): {str(i): float(s) for i, s in enumerate(row)} for q, row in enumerate(scores)}
    found = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    place, top = ranks(scores, gains > 0), ranked_gains(scores, gains, 10)
    ours: dict[str, Values] = {
        "success_1": recall_at(place, 1),
        "success_5": recall_at(place, 5),
        "success_10": recall_at(place, 10),
        "recip_rank": reciprocal_ranks(place),
        "ndcg_cut_10": ndcg_at(top, gains, 10),
        "map_cut_10": average_precision_at(top, (gains > 0).sum(axis=1), 10),
    }
    return {
        name: float(np.abs(values - [found[str(q)][name] for q in range(len(values))]).max())
        for name, values in ours.items()
    }


def real_scores(
    collection: polyseek.Collection, rows: Rows
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines of one caption per photograph with all photographs, and which is its own."""
    found = np.zeros((len(rows), len(rows)))
    column = {Path(row["path"]).name: i for i, row in enumerate(rows)}
    for q, row in enumerate(rows):
        results = collection.search(
            f"text:{row['texts'][0]}", limit=len(rows), mode="dense", show_all=True,
            modalities=["image"],
        )  # fmt: skip
        for hit in results:
            found[q, column[Path(hit.uri).name]] = hit.score
    return found, np.eye(len(rows))


def opened(work: Path, name: str, photos: Path, rows: Rows) -> Path:
    """A collection of the photographs, half of them with their first caption."""
    where = work / name
    if not where.exists():
        table = work / f"{name}.csv"
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "caption"])
            writer.writerows((r["path"], r["texts"][0]) for r in rows[::2])
        polyseek.open(where).add(photos, include=["*.jpg"], metadata=table)
    return where


def pairs_file(path: Path, rows: Rows, captions: slice, limit: int) -> Path:
    """Captions with their photographs, `limit` of them."""
    lines = [(text, row["path"]) for row in rows for text in row["texts"][captions]]
    chosen = np.random.default_rng(0).permutation(len(lines))[:limit]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["query", "path"])
        writer.writerows(lines[i] for i in chosen)
    return path


def searched(collection: polyseek.Collection, rows: Rows, mode: str) -> dict[str, float]:
    """What a user sees for the second caption of each photograph."""
    probabilities, relevant, gains = [], [], []
    for row in rows:
        name = Path(row["path"]).name
        results = collection.search(
            f"text:{row['texts'][1]}", limit=10, mode=mode, show_all=True, modalities=["image"]
        )
        own = [float(hit.uri.endswith("/" + name)) for hit in results]
        gains.append(own + [0.0] * (10 - len(own)))
        relevant += own
        probabilities += [hit.probability for hit in results]
    p, right = np.clip(np.array(probabilities, float), 1e-6, 1 - 1e-6), np.array(relevant) > 0
    return {
        "ndcg@10": round(float(ndcg_at(np.array(gains), np.ones((len(rows), 1)), 10).mean()), 4),
        "calibration_error": round(calibration_error(p, right), 4),
        "log_loss": round(float(-np.where(right, np.log(p), np.log(1 - p)).mean()), 4),
    }


def with_tuning(where: Path, tuning: Tuning | None) -> polyseek.Collection:
    """The collection, as if it had been tuned so."""
    collection = polyseek.open(where)
    store = collection._store
    with store.writing():
        store.save_tuning(tuning or Tuning())
    return collection


def labels(dev: Path, dev_rows: Rows, adapt: Path, rows: Rows, work: Path) -> dict[str, Any]:
    """Quality on other photographs after tuning with ever more labels."""
    found: dict[str, Any] = {"as shipped": searched(with_tuning(dev, None), dev_rows, "dense")}
    other = polyseek.open(adapt)
    found["tuned without labels"] = searched(with_tuning(dev, other.tune()), dev_rows, "dense")
    for limit in (250, 1_000, 3_000):
        pairs = pairs_file(work / "pairs.csv", rows, slice(None), limit)
        started = perf_counter()
        tuning = other.tune(pairs=pairs)
        spent = perf_counter() - started
        found[f"tuned with {limit:,} labels"] = {
            **searched(with_tuning(dev, tuning), dev_rows, "dense"),
            "tune_s": round(spent, 1),
            "notes": [note for note in tuning.notes if "with labels" in note],
        }
    return found


def words(dev: Path, dev_rows: Rows, adapt: Path, rows: Rows, work: Path) -> dict[str, Any]:
    """The same for what words add, half of the photographs having another caption."""
    pairs = pairs_file(work / "pairs.csv", rows, slice(1, 2), len(rows))
    tuning = polyseek.open(adapt).tune(pairs=pairs)
    before = replace(tuning, words=WordEvidence())
    return {
        "as shipped": searched(with_tuning(dev, None), dev_rows, "hybrid"),
        "calibration by labels, words as shipped": searched(
            with_tuning(dev, before), dev_rows, "hybrid"
        ),
        "both by labels": searched(with_tuning(dev, tuning), dev_rows, "hybrid"),
        "note": next(note for note in tuning.notes if note.startswith("words:")),
    }


def read(photos: Path) -> Rows:
    """The manifest."""
    text = (photos / "manifest.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--photos", type=Path, required=True)
    arguments.add_argument("--adapt", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"trials": TRIALS, "coverage_of_95": coverage(), "level_of_5": level()}
    dev_rows, rows = read(given.photos), read(given.adapt)
    dev = opened(given.work, "dev", given.photos, dev_rows)
    adapt = opened(given.work, "adapt", given.adapt, rows)
    scores, gains = real_scores(with_tuning(dev, None), dev_rows)
    result["largest_difference_from_trec_eval"] = agreement(scores, gains)
    started = perf_counter()
    run = with_tuning(dev, None).evaluate("field:caption", limit=0)
    result["eval_on_captions"] = {
        "queries": sum(len(one.outcomes) for one in run.directions),
        "seconds": {k: round(v, 2) for k, v in run.elapsed_s.items()},
        "total_s": round(perf_counter() - started, 2),
    }
    result["labels"] = labels(dev, dev_rows, adapt, rows, given.work)
    result["words"] = words(dev, dev_rows, adapt, rows, given.work)
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
