"""How far our embeddings are from the reference library's, family by family.

Tiny models of random weights, as the tests make them: the largest difference of a component of a
unit vector. open_clip and the authors' ImageBind count where they are installed; figures of
families that are not keep their place.

    python benchmarks/model_parity.py --work /tmp/parity
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.config import Settings
from polyseek.core.types import Modality
from polyseek.encode import names

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "benchmarks" / "results" / "model_parity.json"


def differences(work: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Family and largest difference by modality."""
    for folder in (ROOT / "tests", ROOT / "tests" / "encode"):
        sys.path.insert(0, str(folder))
    settings = Settings(home=work / "home", device="cpu", allow_noncommercial=True)
    yield from _transformers(work, settings)
    yield from _open_clip(work, settings)
    yield from _imagebind(work, settings)


def _transformers(work: Path, settings: Settings) -> Iterator[tuple[str, dict[str, float]]]:
    made = importlib.import_module("tiny_models")
    checks = importlib.import_module("test_torch_parity")
    for kind, build in made.FAMILIES.items():
        folder = work / kind
        folder.mkdir(parents=True, exist_ok=True)
        fixture = kind, build(folder), names.load(str(folder), settings), folder
        yield kind, _run(checks, fixture, ("test_texts", "test_pictures", "test_sounds"))


def _open_clip(work: Path, settings: Settings) -> Iterator[tuple[str, dict[str, float]]]:
    checks = importlib.import_module("test_torch_open_clip")
    if checks.open_clip is None:
        print(checks.MISSING)
        return
    for kind in checks.CONFIGS:
        folder = checks.saved(work / f"open_clip-{kind}", kind)
        library = checks.open_clip
        model, _, transform = library.create_model_and_transforms(f"local-dir:{folder}")
        tokenizer = library.get_tokenizer(f"local-dir:{folder}")
        fixture = names.load(str(folder), settings), model.eval(), transform, tokenizer
        yield (
            f"open_clip {kind}",
            _run(checks, fixture, ("test_texts", "test_pictures_and_videos")),
        )


def _imagebind(work: Path, settings: Settings) -> Iterator[tuple[str, dict[str, float]]]:
    tiny = importlib.import_module("tiny_imagebind")
    checks = importlib.import_module("test_torch_imagebind")
    folder = work / "imagebind"
    folder.mkdir(parents=True, exist_ok=True)
    weights = tiny.imagebind(folder)
    encoder = names.load(str(folder), settings)
    tests = ("test_texts", "test_a_picture_is_two_equal_frames",
             "test_sounds_are_the_mean_of_their_clips", "test_motion")  # fmt: skip
    found = _run(checks, (encoder, weights, folder), tests)
    for modality in (Modality.DEPTH, Modality.THERMAL):
        seen = _watched(checks, partial(checks.test_maps, (encoder, weights, folder), modality))
        found[str(modality)] = max(seen)
    yield "imagebind", found


def _run(checks: Any, fixture: Any, tests: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for test in tests:
        seen = _watched(checks, partial(getattr(checks, test), fixture))
        if seen:
            found[test.removeprefix("test_")] = max(seen)
    return found


def _watched(checks: Any, run: Callable[[], None]) -> list[float]:
    """The differences that a test's comparisons see; none where it is skipped."""
    import pytest

    seen: list[float] = []
    before = checks.close

    def close(ours: NDArray[Any], theirs: Any) -> None:
        rows = np.asarray(getattr(theirs, "detach", lambda: theirs)())
        rows = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
        seen.append(float(np.abs(ours - rows).max()))
        before(ours, theirs)

    checks.close = close
    try:
        run()
    except pytest.skip.Exception:
        return []
    finally:
        checks.close = before
    return seen


def main() -> None:
    """Compare, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder")
    results = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    for family, found in differences(parser.parse_args().work):
        results[family] = {name: float(f"{value:.1e}") for name, value in found.items()}
        print(family, results[family])
        TARGET.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
