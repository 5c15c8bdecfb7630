"""Make the sound head of `mini`: where each of YAMNet's classes lies in the shared space.

    python tools/fit_mini_sound.py CLASS_MAP_CSV

CLASS_MAP_CSV is YAMNet's own list (column `display_name`). Nothing is trained: a class lies where
the shipped text head puts its name, minus the mean of all names and without the mean's direction:
what all names of sounds have in common tells no sound from another, in queries neither.
Deterministic. Run it again whenever `fit_mini.py` wrote new heads.

Sounds stay there, beside pictures; but between words and sounds names decide most, and in the
shared space they mix with looks. So texts that look for sounds, and sounds that look for texts, are
moved half the way to where names alone would have them: see `by_names`, which `fit_mini_tuning.py`
ships.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyseek.core.adapting import Adapter, Direction
from polyseek.core.config import resolve_settings
from polyseek.core.maps import QueryMap
from polyseek.core.types import Embeddings, Floats, Modality, Role
from polyseek.encode.heads import SOUND_HEAD_FILE, SoundHead
from polyseek.encode.mini import load
from polyseek.encode.towers import unit
from polyseek.encode.yamnet import YamnetTower

ADAPTER = "names-1"
STRENGTH = 0.5
CLASS_PENALTY, TEXT_PENALTY = 0.1, 1.0
WORDINGS = ("{}", "the sound of {}")


def class_names(path: Path) -> list[str]:
    """Names of YAMNet's classes, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row["display_name"] for row in csv.DictReader(file)]


def centred(texts: Floats) -> Floats:
    """Unit vectors without what all of them have in common."""
    mean = texts.mean(axis=0)
    common = mean / np.linalg.norm(mean)
    rest = texts - mean
    return unit(rest - np.outer(rest @ common, common))


def by_names(
    wordings: Sequence[Floats], class_vectors: Floats, bank: Embeddings, *, encoder: str
) -> Adapter:
    """Moves texts among sounds, and sounds among texts, by what the names of the classes say.

    A sound is the sum of its classes' vectors. Where a text scores with each class as the text
    tower scores it with the class's name, it ranks sounds as the tower would; the place that comes
    nearest, by penalised least squares over the classes, has nothing to do with looks. The same
    map tells of a sound what the tower would make of it, and the bank where such texts lie.

    Args:
        wordings: ``(classes, t)`` the tower's embeddings of the names, for each wording.
        class_vectors: ``(classes, dim)`` where the classes lie in the shared space.
        bank: Many texts.
        encoder: Name and revision of the encoder whose queries are moved.
    """
    names = np.sum([centred(rows) for rows in wordings], axis=0)
    heard = _ridge(class_vectors, names, CLASS_PENALTY)
    said = _ridge(bank.shared, bank.tower, TEXT_PENALTY)
    text = np.concatenate([np.zeros((len(said), class_vectors.shape[1])), heard.T])
    audio = np.concatenate([heard @ said.T, np.zeros((YamnetTower.dim, len(said)))])
    return Adapter(
        name=ADAPTER,
        encoder=encoder,
        directions={
            (Modality.TEXT, Modality.AUDIO): _direction(text),
            (Modality.AUDIO, Modality.TEXT): _direction(audio),
        },
    )


def _ridge(x: Floats, y: Floats, penalty: float) -> NDArray[np.floating]:
    """``(a, b)`` from rows of x to rows of y, neither centred."""
    rows, targets = x.astype(np.float64), y.astype(np.float64)
    gram = rows.T @ rows + penalty * np.eye(rows.shape[1])
    found: NDArray[np.floating] = np.linalg.solve(gram, rows.T @ targets)
    return found


def _direction(weights: NDArray[np.floating]) -> Direction:
    """From both embeddings of a query, side by side."""
    rounded = weights.astype(np.float16)
    mean = np.zeros(len(weights), np.float32)
    return Direction(
        map=QueryMap.linear(keep=0.0, mean=mean, weights=rounded), strength=STRENGTH, rung="names"
    )


def main() -> None:
    """Embed the names, centre, write."""
    parser = argparse.ArgumentParser(description="Make mini's sound head")
    parser.add_argument("classes", type=Path, help="YAMNet's class map, CSV")
    folder = Path("src/polyseek/encode/data")
    parser.add_argument("--out", type=Path, default=folder / SOUND_HEAD_FILE)
    options = parser.parse_args()
    names = class_names(options.classes)
    options.out.touch()  # the encoder's checksums cover this file
    texts = load(resolve_settings()).encode(Modality.TEXT, names, role=Role.DOCUMENT).shared
    head = SoundHead(class_vectors=centred(texts))
    with options.out.open("wb") as file_out:
        head.save(file_out)
    data = options.out.read_bytes()
    print(f"{options.out}: {len(names)} classes, {len(data):,} bytes")
    print(f"sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
