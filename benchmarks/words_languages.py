"""Are words found in every language? polyseek's words against the tokenisers of the index.

    python benchmarks/words_languages.py --emoji FOLDER --out RESULTS.json

FOLDER holds emoji with a name and keywords in 28 languages. The keywords are indexed, one table per
language; each name is a query for the keywords of its emoji. R@10 in percent, ties against us.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS

from polyseek.core.words import words

QUERIES, DEPTH, AT = 300, 200, 10
ANALYSED: dict[str, Any] = {
    "base_tokenizer": "whitespace", "stem": False, "remove_stop_words": False,
    "lower_case": False, "ascii_folding": False,
}  # fmt: skip
RIVALS: dict[str, dict[str, Any]] = {
    "simple": {"base_tokenizer": "simple"},
    "ngram": {"base_tokenizer": "ngram", "stem": False, "remove_stop_words": False},
    "icu": {"base_tokenizer": "icu"},
}


def read(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Pairs of name and keywords by language."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["id"].startswith("emoji") and len(row["texts"]) > 1:
            found[row["language"]].append((row["texts"][0], row["texts"][1]))
    return found


def recall(
    database: Any, documents: list[str], queries: list[str], config: dict[str, Any]
) -> float:
    """Percent of the queries whose own document is among the first ten."""
    table = database.create_table(
        "t", pa.table({"row": range(len(documents)), "text": documents}), mode="overwrite"
    )
    table.create_index("text", config=FTS(**config))
    right = []
    for row, query in enumerate(queries):
        found = table.search(query, query_type="fts").limit(DEPTH).select(["row", "_score"])
        scores = {hit["row"]: hit["_score"] for hit in found.to_list()}
        own = scores.pop(row, None)
        ahead = sum(score >= own for score in scores.values()) if own is not None else DEPTH
        right.append(ahead < AT)
    return round(100 * float(np.mean(right)), 1)


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--emoji", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    given = arguments.parse_args()
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        database = lancedb.connect(folder)
        for language, pairs in sorted(read(given.emoji).items()):
            names = [name for name, _ in pairs[:QUERIES]]
            keywords = [keywords for _, keywords in pairs]
            result[language] = {
                "polyseek": recall(
                    database,
                    [" ".join(words(text)) for text in keywords],
                    [" ".join(words(name)) for name in names],
                    ANALYSED,
                )
            } | {name: recall(database, keywords, names, config) for name, config in RIVALS.items()}
    result["mean"] = {
        name: round(float(np.mean([found[name] for found in result.values()])), 1)
        for name in ("polyseek", *RIVALS)
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for language, found in result.items():
        print(language, found)


if __name__ == "__main__":
    main()
