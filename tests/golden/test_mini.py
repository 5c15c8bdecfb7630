"""The real default encoder: a few pinned cosines. They move only when its revision does."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from polyseek.core.config import resolve_settings
from polyseek.core.types import Modality, Role, Sound
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


def test_sounds_lie_where_their_words_are(encoder):
    time = np.arange(3 * 16_000) / 16_000
    rng = np.random.default_rng(0)
    waves = {
        "a siren": np.sin(2 * np.pi * (700 * time + 60 * np.sin(2 * np.pi * 0.5 * time))),
        "white noise": rng.uniform(-0.5, 0.5, len(time)),
        "a beep": np.sin(2 * np.pi * 1000 * time),
    }
    prepare = encoder.info.towers[Modality.AUDIO].prepare
    batch = [
        prepare(Sound(samples=wave.astype(np.float32) * 0.5, sample_rate_hz=16_000))
        for wave in waves.values()
    ]
    sounds = encoder.encode(Modality.AUDIO, batch, role=Role.DOCUMENT)
    asked = encoder.encode(Modality.TEXT, list(waves), role=Role.QUERY)
    scores = asked.shared @ sounds.shared.T
    assert scores[1].argmax() == 1
    expected = [[0.027, 0.219, 0.262], [-0.140, 0.251, 0.219], [0.044, -0.044, 0.585]]
    np.testing.assert_allclose(scores, expected, atol=TOLERANCE)


def test_a_shot_is_the_mean_of_its_frames(encoder, images):
    frames = []
    for paint in (circle, circle, tree):
        picture = Image.new("RGB", (320, 240), "white")
        paint(ImageDraw.Draw(picture))
        frames.append(picture)
    shot = encoder.info.towers[Modality.VIDEO].prepare(frames)
    found = encoder.encode(Modality.VIDEO, [shot], role=Role.DOCUMENT)
    mean = 2 * images.tower[0] + images.tower[2]
    np.testing.assert_allclose(found.tower[0], mean / np.linalg.norm(mean), atol=1e-5)
