"""The audio tower's graph against an independent NumPy implementation, on random weights."""

import itertools
import pickle

import numpy as np
import pytest

from polyseek.core.errors import EncoderError
from polyseek.core.types import Sound
from polyseek.encode import yamnet
from polyseek.encode.yamnet import YamnetPrepare, YamnetTower, padded, resampled

CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
CLASSES = 521


def random_network(rng):
    """The layers in the order of the weights file, and that file's bytes."""
    layers, flat = [], [np.zeros(2, np.float32)]

    def add(shape, fan_in):
        kernel = rng.normal(size=shape).astype(np.float32) * np.float32(np.sqrt(2 / fan_in))
        beta, mean = (rng.normal(size=shape_out(shape)).astype(np.float32) * 0.1 for _ in "bm")
        variance = rng.uniform(0.5, 1.5, shape_out(shape)).astype(np.float32)
        layers.append((kernel, beta, mean, variance))
        flat.extend(array.reshape(-1) for array in layers[-1])

    def shape_out(shape):
        return shape[2] if shape[3] == 1 and shape[:2] == (3, 3) else shape[3]

    add((3, 3, 1, 32), 9)
    for before, after in itertools.pairwise(CHANNELS):
        add((3, 3, before, 1), 9)
        add((1, 1, before, after), before)
    dense = rng.normal(size=(1024, CLASSES)).astype(np.float32) * 0.05
    bias = rng.normal(size=CLASSES).astype(np.float32)
    return layers, dense, bias, np.concatenate([*flat, dense.reshape(-1), bias]).tobytes()


def log_mel(waveform):
    """``(frames, 64)`` by NumPy's FFT; the mel filters spelled out in loops."""
    window = np.hanning(401)[:-1]
    starts = range(0, len(waveform) - 400 + 1, 160)
    frames = np.stack([waveform[s : s + 400] * window for s in starts])
    magnitude = np.abs(np.fft.rfft(frames, 512))

    def mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    filters = np.zeros((257, 64))
    for i in range(1, 257):
        at = mel(i * 8000 / 256)
        for band in range(64):
            low, centre, high = edges[band : band + 3]
            if low < at <= centre:
                filters[i, band] = (at - low) / (centre - low)
            elif centre < at < high:
                filters[i, band] = (high - at) / (high - centre)
    return np.log(magnitude @ filters + 0.001)


def same_padded(x, stride):
    """TensorFlow's SAME padding of ``(height, width, channels)`` for a 3 x 3 kernel."""
    pads = []
    for size in x.shape[:2]:
        total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [*pads, (0, 0)])


def convolve(x, kernel, stride):
    """A 3 x 3 convolution, depthwise when the kernel has one output per channel."""
    x = same_padded(x, stride)
    height, width = ((size - 3) // stride + 1 for size in x.shape[:2])
    total = 0
    for i in range(3):
        for j in range(3):
            piece = x[i : i + height * stride : stride, j : j + width * stride : stride]
            piece = piece[:height, :width]
            depthwise = kernel.shape[3] == 1
            total = total + (piece * kernel[i, j, :, 0] if depthwise else piece @ kernel[i, j])
    return total


def network(patch, layers, dense, bias):
    """Embedding and scores of one ``(96, 64)`` patch."""
    x = patch[..., None]
    strides = [2, *(s for stride in STRIDES for s in (stride, 1))]
    for (kernel, beta, mean, variance), stride in zip(layers, strides, strict=True):
        x = x @ kernel[0, 0] if kernel.shape[0] == 1 else convolve(x, kernel, stride)
        x = np.maximum((x - mean) / np.sqrt(variance + 1e-4) + beta, 0)
    embedding = x.mean(axis=(0, 1))
    return embedding, 1 / (1 + np.exp(-(embedding @ dense + bias)))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    rng = np.random.default_rng(1)
    layers, dense, bias, content = random_network(rng)
    path = tmp_path_factory.mktemp("weights") / "variables.data-00000-of-00001"
    path.write_bytes(content)
    return YamnetTower(lambda: path, threads=1), layers, dense, bias


@pytest.fixture(scope="module")
def waveform():
    rng = np.random.default_rng(2)
    time = np.arange(2 * 16_000) / 16_000
    chirp = np.sin(2 * np.pi * (200 + 1500 * time) * time)
    return padded((0.4 * chirp + 0.02 * rng.normal(size=len(time))).astype(np.float32))


def test_the_front_end_is_the_published_one(built, waveform):
    patches = built[0]._session.run(["patches"], {"waveform": waveform})[0]
    expected = log_mel(waveform.astype(np.float64))
    assert patches.shape == (1 + (len(expected) - 96) // 48, 1, 96, 64)
    for i, patch in enumerate(patches):
        np.testing.assert_allclose(patch[0], expected[48 * i : 48 * i + 96], atol=2e-3)


@pytest.mark.slow
def test_every_layer_is_wired_as_published(built, waveform):
    tower, layers, dense, bias = built
    names = ["patches", "embeddings", "scores"]
    patches, embeddings, scores = tower._session.run(names, {"waveform": waveform})
    for patch, embedding, score in zip(patches[:, 0], embeddings, scores, strict=True):
        expected = network(patch.astype(np.float64), layers, dense, bias)
        np.testing.assert_allclose(embedding, expected[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(score, expected[1], atol=1e-3)


def test_embeddings_are_unit_length_and_scores_pool_mean_and_maximum(built, waveform):
    tower = built[0]
    own, scores = tower.encode([waveform, waveform[: yamnet.PATCH_SAMPLES]])
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-6)
    by_patch = tower._session.run(["scores"], {"waveform": waveform})[0]
    np.testing.assert_allclose(
        scores[0], (by_patch.mean(axis=0) + by_patch.max(axis=0)) / 2, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("samples", "patches"), [(0, 1), (160, 1), (15_600, 1), (15_601, 2), (160_000, 20)]
)
def test_short_and_long_sounds_are_padded_to_whole_patches(samples, patches):
    found = padded(np.ones(samples, np.float32))
    assert len(found) == yamnet.PATCH_SAMPLES + (patches - 1) * yamnet.PATCH_HOP_SAMPLES
    assert found.sum() == samples


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_pitch_and_length(rate):
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    found = resampled(Sound(samples=tone, sample_rate_hz=rate), 16_000)
    assert len(found) == pytest.approx(16_000, abs=40)
    spectrum = np.abs(np.fft.rfft(found[:16_000], 16_000))
    assert spectrum.argmax() == pytest.approx(440, abs=1)


def test_preparation_is_picklable_and_refuses_what_is_no_sound():
    prepare = pickle.loads(pickle.dumps(YamnetPrepare()))
    sound = Sound(samples=np.zeros(4410, np.float32), sample_rate_hz=44_100)
    assert prepare(sound).shape == (yamnet.PATCH_SAMPLES,)
    for few in (0, 1, 2):
        sound = Sound(samples=np.ones(few, np.float32), sample_rate_hz=44_100)
        assert prepare(sound).shape == (yamnet.PATCH_SAMPLES,)
    with pytest.raises(EncoderError, match="expected a sound"):
        prepare("a text")
