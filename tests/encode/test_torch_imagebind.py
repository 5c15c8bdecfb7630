"""ImageBind: six modalities, against an independent computation, and what is refused."""

import importlib
import importlib.util
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")
hf = pytest.importorskip("transformers")

import tiny_imagebind as tiny
from PIL import Image

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, ModelLoadError
from polyseek.core.types import Modality, Motion, Role, Sound
from polyseek.encode import names
from polyseek.encode.filterbanks import FilterbankPrepare, clip_starts
from polyseek.encode.maps import MapPrepare
from polyseek.encode.motions import MotionPrepare
from polyseek.encode.pictures import ClipsPrepare
from polyseek.encode.spec import FilterbankSpec, MapSpec, MotionSpec, PictureSpec
from polyseek.testing.encoder import TEXTS, EncoderConformance

pytestmark = pytest.mark.torch

ALLOWED = {"device": "cpu", "allow_noncommercial": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagebind")
    weights = tiny.imagebind(folder)
    settings = Settings(home=tmp_path_factory.mktemp("home"), **ALLOWED)
    return names.load(str(folder), settings), weights, folder


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", **ALLOWED)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    tiny.imagebind(folder)
    return folder


def embed(encoder, modality, signals):
    prepared = [encoder.info.towers[modality].prepare(each) for each in signals]
    return encoder.encode(modality, prepared, role=Role.DOCUMENT).shared


def close(ours, theirs):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.ptp(theirs, axis=0).max() > 0.01, "the reference tells nothing apart"


def mean(rows):
    return rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))


class TestImageBind(EncoderConformance):
    tolerance = 1e-5

    @pytest.fixture(autouse=True)
    def build(self, made):
        self.made = made[0]

    def make_encoder(self):
        return self.made


def test_it_has_all_modalities_in_one_space(made):
    encoder, _, _ = made
    assert set(encoder.info.towers) == set(Modality)
    assert encoder.info.dim == tiny.OUT


def test_texts(made):
    encoder, weights, folder = made
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    texts = [*TEXTS, "😀 a dog 🏖️", "一只红色的狗", "RED word " * 500]
    rows = []
    for text in texts:  # padded with zeros to the tower's length, as the authors do
        ids = tokenizer(text, truncation=True, max_length=tiny.TOKENS)["input_ids"]
        ids = torch.tensor([ids + [0] * (tiny.TOKENS - len(ids))])
        rows.append(tiny.forward(weights, "text", ids))
    close(embed(encoder, Modality.TEXT, texts), np.concatenate(rows))


def pixels(picture):
    """The authors' transform: shorter side, centre as torchvision rounds it, CLIP's numbers."""
    side, (width, height) = tiny.PICTURE, picture.size
    scale = side / min(width, height)
    shown = picture.convert("RGB").resize(
        (max(side, int(width * scale)), max(side, int(height * scale))), Image.Resampling.BICUBIC
    )
    left, top = round((shown.width - side) / 2), round((shown.height - side) / 2)
    values = np.asarray(shown)[top : top + side, left : left + side] / 255
    values = (values - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    return torch.tensor(values, dtype=torch.float32).permute(2, 0, 1)[None]


def pictures():
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (*shape, 3), np.uint8))
        for shape in ((40, 60), (28, 28), (90, 31), (9, 300), (28, 31), (33, 28))
    ]


def test_a_picture_is_two_equal_frames(made):
    encoder, weights, _ = made
    rows = [
        tiny.forward(weights, "vision", torch.stack([pixels(p)] * 2, dim=2)) for p in pictures()
    ]
    close(embed(encoder, Modality.IMAGE, pictures()), np.concatenate(rows))


def test_a_shot_is_the_mean_of_its_clips_and_crops(made):
    encoder, weights, _ = made
    rng = np.random.default_rng(1)
    side = tiny.PICTURE
    # Of the model's height, so that nothing is resized: 3 crops at 0, half way and the end.
    frames = [Image.fromarray(rng.integers(0, 256, (side, side + 11, 3), np.uint8)) for _ in "abcd"]
    spec = encoder.spec.towers[Modality.VIDEO].picture
    rows = []
    for pair in (frames[:2], frames[2:]):
        for left in (0, 6, 11):  # half of 11, rounded up
            shown = np.stack([np.asarray(f)[:, left : left + side] for f in pair])
            values = (shown / 255 - np.array(spec.mean)) / np.array(spec.std)
            clip = torch.tensor(values, dtype=torch.float32).permute(3, 0, 1, 2)[None]
            rows.append(tiny.forward(weights, "vision", clip))
    ours = embed(encoder, Modality.VIDEO, [frames, frames[::-1]])
    np.testing.assert_allclose(ours[0], mean(np.concatenate(rows)), atol=1e-4)
    assert not np.allclose(ours[0], ours[1], atol=1e-3)


def test_clips_of_shots_of_any_length():
    spec = PictureSpec(resize=(20,), crop=(20, 20), crops=3)
    frames = [Image.new("RGB", (30, 50), (10 * i, 0, 0)) for i in range(25)]
    for count, clips in ((1, 1), (2, 1), (3, 2), (10, 5), (25, 5)):
        made = ClipsPrepare(spec, 2, 5)(frames[:count])
        assert made.shape == (3 * clips, 2, 20, 20, 3)
        assert made[0, 0, 0, 0, 0] == 0
        assert made[-1, -1, 0, 0, 0] == 10 * (count - 1)
    sizes = [Image.new("RGB", (60, 30)), Image.new("RGB", (11, 47))]
    assert ClipsPrepare(spec, 2, 5)(sizes).shape == (3, 2, 20, 20, 3)


def sounds():
    rng = np.random.default_rng(0)
    made = []
    for i, n in enumerate((16_000, 32_000, 32_001, 80_000, 160_000)):
        tone = np.sin(np.arange(n) * 0.05 * 2**i) * np.linspace(0, 1, n) ** i
        samples = 0.3 * tone + 0.001 * rng.normal(size=n)
        made.append(Sound(samples=samples.astype(np.float32), sample_rate_hz=16_000))
    return made


@pytest.mark.filterwarnings("ignore:At least one mel filter")  # 128 bands: the lowest are narrow
def test_filterbanks_are_those_of_the_audio_spectrogram_transformer():
    extractor = hf.ASTFeatureExtractor(
        num_mel_bins=128, max_length=204, mean=-4.268, std=9.138 / 2  # it divides by twice that
    )  # fmt: skip
    prepare = FilterbankPrepare(FilterbankSpec(mean=-4.268, std=9.138), 3)
    for sound in sounds():
        ours = prepare(sound)
        length = len(sound.samples) / 16_000
        starts = [0.0] if length <= 2 else [0.0, (length - 2) / 2, length - 2]
        theirs = [
            extractor(
                sound.samples[int(at * 16_000) : int((at + 2) * 16_000)],
                sampling_rate=16_000,
                return_tensors="np",
            )["input_values"][0].T
            for at in starts
        ]
        np.testing.assert_allclose(ours[:, 0], np.stack(theirs), atol=1e-3)


def test_sounds_are_the_mean_of_their_clips(made):
    encoder, weights, _ = made
    prepare = encoder.info.towers[Modality.AUDIO].prepare
    rows = []
    for sound in sounds():
        clips = torch.tensor(prepare(sound))
        rows.append(mean(np.concatenate([tiny.forward(weights, "audio", c[None]) for c in clips])))
    close(embed(encoder, Modality.AUDIO, sounds()), np.stack(rows))


def test_sounds_of_almost_nothing():
    prepare = FilterbankPrepare(FilterbankSpec(), 3)
    for n in (0, 1, 399, 400):
        found = prepare(Sound(samples=np.zeros(n, np.float32), sample_rate_hz=16_000))
        assert found.shape == (1, 1, 128, 204)
        assert np.isfinite(found).all()
        assert (found[..., 1:] == 0).all(), "what is not heard is filled up with zeros"
    assert clip_starts(10, 2, 3) == [0, 4, 8]
    assert clip_starts(2, 2, 3) == clip_starts(0, 2, 3) == clip_starts(9, 2, 1) == [0]


def maps():
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) * 5 for shape in ((40, 60), (28, 28), (90, 31))]


@pytest.mark.parametrize("modality", [Modality.DEPTH, Modality.THERMAL])
def test_maps(made, modality):
    encoder, weights, _ = made
    prepare = encoder.info.towers[modality].prepare
    rows = [
        tiny.forward(weights, str(modality), torch.tensor(prepare(each))[None]) for each in maps()
    ]
    close(embed(encoder, modality, maps()), np.concatenate(rows))


def test_depth_becomes_nearness():
    prepare = MapPrepare(MapSpec(side=2, nearness=0.5, mean=0.1, std=2))
    found = prepare(np.array([[1, 2], [0, 0.25]], np.float32))
    np.testing.assert_allclose(found, [[[0.2, 0.075], [-0.05, 0.45]]], atol=1e-6)
    unknown = prepare(np.array([[np.nan, np.inf], [-1, 4]], np.float32))
    np.testing.assert_allclose(unknown, [[[-0.05, -0.05], [-0.05, 0.0125]]], atol=1e-6)


def test_maps_are_resized_and_cut_as_pictures_are():
    values = np.random.default_rng(0).integers(0, 256, (45, 80), np.uint8)
    found = MapPrepare(MapSpec(side=30))(values.astype(np.float32))
    resized = Image.fromarray(values.astype(np.float32)).resize((53, 30), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(found[0], np.asarray(resized)[:, 12:42], atol=1e-4)


def motions():
    rng = np.random.default_rng(0)
    return [
        Motion(samples=rng.normal(size=(6, n)).astype(np.float32), sample_rate_hz=rate)
        for n, rate in ((1000, 100), (64, 12.8), (30, 100), (1, 50))
    ]


def test_motion(made):
    encoder, weights, _ = made
    prepare = encoder.info.towers[Modality.IMU].prepare
    rows = []
    for each in motions():
        clips = torch.tensor(prepare(each))
        rows.append(mean(np.concatenate([tiny.forward(weights, "imu", c[None]) for c in clips])))
    close(embed(encoder, Modality.IMU, motions()), np.stack(rows))


def test_motion_is_brought_to_the_towers_steps():
    prepare = MotionPrepare(MotionSpec(clip_s=1, steps=10), 2)
    ramp = np.tile(np.arange(40, dtype=np.float32), (6, 1))
    found = prepare(Motion(samples=ramp, sample_rate_hz=20))  # 2 s
    assert found.shape == (2, 6, 10)
    np.testing.assert_allclose(found[0, 0], np.arange(0, 20, 2))
    np.testing.assert_allclose(found[1, 5], np.arange(20, 40, 2))
    short = prepare(Motion(samples=ramp[:, :5], sample_rate_hz=20))
    np.testing.assert_allclose(short[0, 0], [0, 2, 4, 4, 4, 4, 4, 4, 4, 4])


def refused(folder, settings, match, error=ModelLoadError):
    with pytest.raises(error, match=match):
        names.load(str(folder), settings)


def test_the_weights_are_not_for_commerce_unless_their_card_says_otherwise(folder, settings):
    strict = replace(settings, allow_noncommercial=False)
    refused(folder, strict, r"\(CC-BY-NC-SA-4.0\) forbids commercial use", ConfigError)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert names.load(str(folder), strict).info.dim == tiny.OUT


def test_files_that_are_missing_or_damaged(folder, settings):
    path = folder / "imagebind_tiny.pth"
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    refused(folder, settings, "the weights cannot be read .*--check")
    torch.save({"a.b": torch.zeros(2)}, path)
    refused(folder, settings, "holds no weights of ImageBind")
    weights = tiny.imagebind(folder)
    del weights["modality_trunks.depth.blocks.1.mlp.fc2.bias"]
    torch.save(weights, path)
    refused(folder, settings, "depth tower are not whole.*blocks.1.mlp.fc2.bias")
    only = {n: w for n, w in weights.items() if ".audio." in n or ".imu." in n}
    torch.save(only, path)
    refused(folder, settings, "has weights of audio, imu; ImageBind has text and others")


def test_code_in_a_checkpoint_is_not_run(folder, settings):
    torch.save({"modality_x": types.SimpleNamespace(a=1)}, folder / "imagebind_tiny.pth")
    refused(folder, settings, "the weights cannot be read")


def test_a_configuration_that_does_not_fit(folder, settings):
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"audio_stride": 6', '"audio_stride": 4'))
    refused(folder, settings, "a spectrogram of 20 x 32 gives 28 patches, the weights have 15")
    (folder / "config.json").write_text(config.replace('"imu_num_heads": 4', '"imu_num_heads": 3'))
    refused(folder, settings, 'imu tower has 16 dimensions, its attention 3 heads.*"imu_num_heads"')
    (folder / "config.json").unlink()
    refused(folder, settings, "an unknown number of heads; say in config.json")
    (folder / "config.json").write_text('{"model_type": "clip"}')
    refused(folder, settings, "config.json is not ImageBind's; expected vision_num_heads")


def test_it_is_read_from_a_hubs_layout_too(folder, settings):
    from safetensors.torch import save_file

    before = names.load(str(folder), settings)
    weights = torch.load(folder / "imagebind_tiny.pth")
    (folder / "imagebind_tiny.pth").unlink()
    save_file({n: w.contiguous() for n, w in weights.items()}, folder / "model.safetensors")
    again = names.load(f"imagebind:{folder}", settings)
    for encoder in (before, again):
        assert encoder.info.dim == tiny.OUT
    np.testing.assert_array_equal(
        embed(again, Modality.DEPTH, maps()),
        embed(names.load(f"imagebind:{folder}", settings), Modality.DEPTH, maps()),
    )


@pytest.fixture(scope="module")
def authors():
    """The authors' package where it is installed; its other modules want much more."""
    found = importlib.util.find_spec("imagebind")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pip install --no-deps imagebind-unofficial: not for commerce, so not required")
    package = types.ModuleType("imagebind")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["imagebind"] = package
    model = importlib.import_module("imagebind.models.imagebind_model")
    preprocessors = importlib.import_module("imagebind.models.multimodal_preprocessors")
    return model, preprocessors


@pytest.mark.slow
def test_the_authors_own_model_gives_the_same(authors, tmp_path, settings):
    library, preprocessors = authors
    torch.manual_seed(0)
    kinds = ("vision", "audio", "text", "depth", "thermal", "imu")
    sizes = {f"{kind}_{size}": n for kind in kinds for size, n in
             (("embed_dim", 32), ("num_blocks", 2), ("num_heads", 4))}  # fmt: skip
    model = library.ImageBindModel(out_embed_dim=24, kernel_size=(2, 14, 14), **sizes).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    torch.save(model.state_dict(), tmp_path / "imagebind_small.pth")
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    encoder = names.load(str(tmp_path), settings)

    def theirs(kind, batch):
        with torch.no_grad():
            rows = model({kind: batch})[kind].numpy()
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    pairs = Path(sys.modules["imagebind"].__path__[0]) / "bpe/bpe_simple_vocab_16e6.txt.gz"
    tokenizer = preprocessors.SimpleTokenizer(bpe_path=str(pairs))
    texts = [*TEXTS, "😀 a dog 🏖️", "一只红色的狗", "It's 3 o'clock!? RED", "word " * 500]
    close(embed(encoder, Modality.TEXT, texts), theirs("text", tokenizer(texts)))
    tower = encoder.info.towers
    shot = [picture.resize((224, 224)) for picture in pictures()]
    close(
        embed(encoder, Modality.IMAGE, shot),
        theirs("vision", torch.tensor(encoder.feed(  # one frame: theirs repeats it
            replace(encoder.spec.towers[Modality.IMAGE], frames=0),
            [tower[Modality.IMAGE].prepare(p) for p in shot], Role.DOCUMENT)["pixel_values"])),
    )  # fmt: skip
    clips = tower[Modality.VIDEO].prepare(shot)
    feed = encoder.feed(encoder.spec.towers[Modality.VIDEO], clips, Role.DOCUMENT)["pixel_values"]
    video = theirs("vision", torch.tensor(feed).transpose(1, 2)[None])
    np.testing.assert_allclose(embed(encoder, Modality.VIDEO, [shot]), video, atol=1e-4)
    for modality, signals in (
        (Modality.AUDIO, sounds()[2:]), (Modality.DEPTH, maps()), (Modality.THERMAL, maps())
    ):  # fmt: skip
        batch = torch.tensor(np.stack([tower[modality].prepare(each) for each in signals]))
        close(embed(encoder, modality, signals), theirs(str(modality), batch))
    motion = tower[Modality.IMU].prepare(motions()[0])
    rows = theirs("imu", torch.tensor(motion))
    np.testing.assert_allclose(
        embed(encoder, Modality.IMU, motions()[:1])[0], mean(rows), atol=1e-4
    )
