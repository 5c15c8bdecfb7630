"""Make the sound head of `mini`: where each of YAMNet's classes lies in the shared space.

    python tools/fit_mini_sound.py CLASS_MAP_CSV

CLASS_MAP_CSV is YAMNet's own list (column `display_name`). Nothing is trained: a class lies where
the shipped text head puts its name, minus the mean of all names and without the mean's direction:
what all names of sounds have in common tells no sound from another, in queries neither.
Deterministic. Run it again whenever `fit_mini.py` wrote new heads.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

import numpy as np

from polyseek.core.config import resolve_settings
from polyseek.core.types import Modality, Role
from polyseek.encode.heads import SOUND_HEAD_FILE, SoundHead
from polyseek.encode.mini import load
from polyseek.encode.towers import unit


def main() -> None:
    """Embed the names, centre, write."""
    parser = argparse.ArgumentParser(description="Make mini's sound head")
    parser.add_argument("classes", type=Path, help="YAMNet's class map, CSV")
    folder = Path("src/polyseek/encode/data")
    parser.add_argument("--out", type=Path, default=folder / SOUND_HEAD_FILE)
    options = parser.parse_args()
    with options.classes.open(encoding="utf-8", newline="") as file:
        names = [row["display_name"] for row in csv.DictReader(file)]
    options.out.touch()  # the encoder's checksums cover this file
    texts = load(resolve_settings()).encode(Modality.TEXT, names, role=Role.DOCUMENT).shared
    mean = texts.mean(axis=0)
    common = mean / np.linalg.norm(mean)
    centred = texts - mean
    head = SoundHead(class_vectors=unit(centred - np.outer(centred @ common, common)))
    with options.out.open("wb") as file_out:
        head.save(file_out)
    data = options.out.read_bytes()
    print(f"{options.out}: {len(names)} classes, {len(data):,} bytes")
    print(f"sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
