"""The towers in examples/ give what `polyseek adapt --tower` takes."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyseek.encode import files

TOWERS = Path(__file__).parents[2] / "examples" / "towers.py"


def tone(hertz, seconds):
    samples = np.sin(2 * np.pi * hertz * np.arange(0, seconds, 1 / 16_000))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes((samples * 20_000).astype("<i2").tobytes())
    file.seek(0)
    return file


def picture(angle):
    file = io.BytesIO()
    stripes = Image.new("RGB", (80, 60))
    stripes.paste((250, 250, 250), (0, 0, 40, 60))
    stripes.rotate(angle).save(file, "PNG")
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("name", "make", "dim"), [("sound", tone, 320), ("heat", lambda a, _: picture(a), 768)]
)
def test_a_vector_of_one_length_that_tells_files_apart(name, make, dim):
    embed = files.load(f"{TOWERS}:{name}")
    rows = [embed(make(a, s)) for a, s in ((30, 0.01), (400, 0.5), (90, 1.2))]
    assert {row.shape for row in rows} == {(dim,)}
    assert np.isfinite(rows).all()
    assert np.ptp(np.stack(rows), axis=0).max() > 0.1
    assert files.patterns(f"{TOWERS}:{name}")
