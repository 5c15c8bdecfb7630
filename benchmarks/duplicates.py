"""From which cosine on are two pictures the same, and does a perceptual hash tell better?

    python benchmarks/duplicates.py --photos PHOTOS --count 60 --out RESULTS.json

Copies are made as they come about: saved again at a lower quality, made smaller, cut at the edges,
brightened. Their cosine and hash distance with the original are compared with those of every other
photograph, all pairs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from polyseek.core.config import resolve_settings
from polyseek.core.types import Floats, Modality, Role
from polyseek.encode.mini import load
from polyseek.search.diversify import picture_hash


def saved(image: Image.Image, quality: int) -> Image.Image:
    """As JPEG and back."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(BytesIO(buffer.getvalue())).convert("RGB")


def cut(image: Image.Image, share: float) -> Image.Image:
    """Without its edges."""
    w, h = image.size
    return image.crop((int(w * share), int(h * share), int(w * (1 - share)), int(h * (1 - share))))


COPIES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "saved again, quality 85": lambda image: saved(image, 85),
    "two thirds of the size, quality 60": lambda image: saved(image.resize((150, 150)), 60),
    "edges of 3 % cut": lambda image: saved(cut(image, 0.03), 90),
    "brightened by 15 %": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.15), 90),
}


def quantiles(values: NDArray[np.floating]) -> dict[str, float]:
    """A distribution in five numbers."""
    names = {"min": 0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "max": 1}
    return {name: round(float(np.quantile(values, q)), 3) for name, q in names.items()}


def all_pairs(rows: Floats, paths: list[Path]) -> dict[str, Any]:
    """How many pairs of different photographs are above a cosine, and alike by their hash too."""
    hashes = [picture_hash(Image.open(path).convert("RGB")) for path in paths]
    above = np.triu_indices(len(rows), 1)
    cosines = (rows @ rows.T)[above]
    apart = np.array([[(a ^ b).bit_count() for b in hashes] for a in hashes])[above]
    return {
        "pairs": len(cosines),
        "cosine at least": {str(at): int((cosines >= at).sum()) for at in (0.7, 0.8, 0.9, 0.95)},
        "and 10 bits at most": {
            str(at): int(((cosines >= at) & (apart <= 10)).sum()) for at in (-1, 0.7, 0.8, 0.9)
        },
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument(
        "--cache", type=Path, help="What stages.py keeps, of the photos in --cached."
    )
    parser.add_argument("--cached", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    encoder = load(resolve_settings())
    tower = encoder.info.towers[Modality.IMAGE]
    paths = sorted((given.photos / "images").glob("*.jpg"))[: given.count]
    originals = [Image.open(path).convert("RGB") for path in paths]

    def embed(pictures: list[Image.Image]) -> Floats:
        prepared = [tower.prepare(picture) for picture in pictures]
        return encoder.encode(Modality.IMAGE, prepared, role=Role.DOCUMENT).tower

    rows, hashes = embed(originals), [picture_hash(picture) for picture in originals]
    off = np.triu_indices(len(rows), 1)
    apart = np.array([[(a ^ b).bit_count() for b in hashes] for a in hashes])
    result: dict[str, Any] = {
        "photos": len(rows),
        "different photographs": {
            "cosine": quantiles((rows @ rows.T)[off]), "hash bits": quantiles(apart[off]),
        },
    }  # fmt: skip
    for name, change in COPIES.items():
        made = [change(picture) for picture in originals]
        cosines = np.vecdot(embed(made), rows)
        bits = np.array([
            (picture_hash(copy) ^ known).bit_count()
            for copy, known in zip(made, hashes, strict=True)
        ])  # fmt: skip
        result[name] = {"cosine": quantiles(cosines), "hash bits": quantiles(bits)}
    if given.cache:
        with np.load(given.cache) as kept:
            known = kept["img_t"]
        lines = (given.cached / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
        every = [given.cached / json.loads(line)["path"] for line in lines]
        result["pairs of all photographs"] = all_pairs(known, every)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
