"""The real default encoder: a few pinned cosines. They move only when its revision does."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from polyseek.core.config import resolve_settings
from polyseek.core.errors import EncoderError
from polyseek.core.types import Modality, Role
from polyseek.encode.mini import load

pytestmark = [pytest.mark.slow, pytest.mark.network]

TOLERANCE = 0.03
"""Between processors: int8 kernels differ in their rounding."""

TEXTS = (
    "a red circle",
    "diagonal stripes",
    "a green tree under a blue sky",
    "how to bake bread",
    "a recipe for sourdough loaves",
)


def circle(draw):
    draw.ellipse((80, 40, 240, 200), fill="red")


def stripes(draw):
    draw.rectangle((0, 0, 319, 239), fill="black")
    for i in range(8):
        draw.line((0, i * 30, 319, i * 30 + 40), fill="yellow", width=6)


def tree(draw):
    draw.rectangle((0, 0, 319, 150), fill=(120, 180, 255))
    draw.rectangle((0, 150, 319, 239), fill=(40, 140, 40))
    draw.rectangle((150, 110, 170, 190), fill=(90, 60, 30))
    draw.ellipse((110, 40, 210, 130), fill=(20, 100, 20))


@pytest.fixture(scope="module")
def encoder():
    return load(resolve_settings())


@pytest.fixture(scope="module")
def images(encoder):
    prepared = []
    for paint in (circle, stripes, tree):
        picture = Image.new("RGB", (320, 240), "white")
        paint(ImageDraw.Draw(picture))
        prepared.append(encoder.info.towers[Modality.IMAGE].prepare(picture))
    return encoder.encode(Modality.IMAGE, prepared, role=Role.DOCUMENT)


@pytest.fixture(scope="module")
def texts(encoder):
    return encoder.encode(Modality.TEXT, TEXTS, role=Role.QUERY)


def test_texts_find_their_pictures(texts, images):
    expected = [
        [0.164, 0.013, 0.071],
        [0.030, 0.156, 0.022],
        [0.051, 0.005, 0.231],
        [-0.008, -0.013, -0.018],
        [-0.026, -0.025, -0.024],
    ]
    np.testing.assert_allclose(texts.shared @ images.shared.T, expected, atol=TOLERANCE)


def test_towers_compare_their_own_kind(texts, images):
    np.testing.assert_allclose(texts.tower[3] @ texts.tower[4], 0.573, atol=TOLERANCE)
    np.testing.assert_allclose(texts.tower[0] @ texts.tower[3], 0.032, atol=TOLERANCE)
    expected = [[1, 0.756, 0.731], [0.756, 1, 0.733], [0.731, 0.733, 1]]
    np.testing.assert_allclose(images.tower @ images.tower.T, expected, atol=TOLERANCE)


def test_the_space_is_the_one_the_catalogue_promises(encoder, texts, images):
    assert texts.shared.shape == (5, encoder.info.dim)
    assert images.shared.shape == (3, encoder.info.dim)
    with pytest.raises(EncoderError, match="no audio tower"):
        encoder.encode(Modality.AUDIO, [], role=Role.QUERY)
