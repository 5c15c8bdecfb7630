"""Our embeddings against the reference library's, with random weights of every family."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")
hf = pytest.importorskip("transformers")

from PIL import Image

import tiny_models
import tiny_rerankers
from polyseek.core.config import Settings
from polyseek.core.types import Modality, Role, Sound
from polyseek.encode import names
from polyseek.testing.encoder import TEXTS, EncoderConformance

pytestmark = pytest.mark.torch

TEXTS_OF_ALL_KINDS = [
    *TEXTS,
    "😀 a dog 🏖️ 🐕",
    "一只红色的狗在海滩上",
    "ALL CAPS, with punctuation!? and   spaces\tand\nlines",
    "word " * 3000,
]


def pictures():
    rng = np.random.default_rng(0)
    shapes = [(40, 60), (24, 24), (7, 300), (300, 9), (1, 1), (640, 481), (23, 25)]
    noise = [Image.fromarray(rng.integers(0, 256, (*s, 3), np.uint8)) for s in shapes]
    grey = Image.fromarray(rng.integers(0, 256, (33, 50), np.uint8))
    return [*noise, grey, noise[0].convert("RGBA"), noise[1].convert("P"), noise[5].convert("CMYK")]


def sounds(rate_hz):
    rng = np.random.default_rng(0)
    return [
        Sound(samples=(0.2 * rng.normal(size=n)).astype(np.float32), sample_rate_hz=rate_hz)
        for n in (rate_hz, 2 * rate_hz, 1000, 7 * rate_hz // 3)
    ]


@pytest.fixture(scope="module", params=tiny_models.FAMILIES)
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny_models.FAMILIES[request.param](folder)
    home = tmp_path_factory.mktemp("home")
    return request.param, model, names.load(str(folder), Settings(home=home)), folder


def embed(encoder, modality, signals):
    prepared = [encoder.info.towers[modality].prepare(each) for each in signals]
    return encoder.encode(modality, prepared, role=Role.DOCUMENT).shared


def unit(features):
    rows = getattr(features, "pooler_output", features).detach().float().numpy()
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def close(ours, theirs):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.ptp(theirs, axis=0).max() > 0.01, "the reference tells nothing apart"


def test_texts(made):
    name, model, encoder, folder = made
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS_OF_ALL_KINDS:  # one by one: no padding but the model's own
        padding = "max_length" if name.startswith("siglip") else False
        feed = tokenizer([text], padding=padding, truncation=True, return_tensors="pt")
        if name.startswith("siglip"):
            feed = {"input_ids": feed["input_ids"]}
        with torch.no_grad():
            rows.append(unit(model.get_text_features(**feed)))
    close(embed(encoder, Modality.TEXT, TEXTS_OF_ALL_KINDS), np.concatenate(rows))


def test_pictures(made):
    name, model, encoder, folder = made
    if Modality.IMAGE not in encoder.info.towers:
        pytest.skip("reads no pictures")
    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    rows = []
    for picture in pictures():
        feed = processor(images=picture.convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            rows.append(unit(model.get_image_features(**feed)))
    close(embed(encoder, Modality.IMAGE, pictures()), np.concatenate(rows))


def test_sounds(made):
    name, model, encoder, folder = made
    if Modality.AUDIO not in encoder.info.towers:
        pytest.skip("hears no sounds")
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    given = [s for s in sounds(16_000) if s.end_s <= 2]  # of longer ones it takes random parts
    rows = []
    for sound in given:
        feed = extractor(sound.samples, sampling_rate=16_000, return_tensors="pt")
        feed["is_longer"] = torch.zeros_like(feed["is_longer"])  # set at random in a batch
        with torch.no_grad():
            rows.append(unit(model.get_audio_features(**feed)))
    close(embed(encoder, Modality.AUDIO, given), np.concatenate(rows))
    assert np.isfinite(embed(encoder, Modality.AUDIO, sounds(16_000))).all()


def test_videos(made):
    name, model, encoder, folder = made
    if not hasattr(model, "get_video_features"):
        pytest.skip("watches no videos")
    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    frames = [picture.convert("RGB") for picture in pictures()[:4]]
    feed = processor([frames], return_tensors="pt")
    with torch.no_grad():
        theirs = unit(model.get_video_features(**feed))
    ours = embed(encoder, Modality.VIDEO, [frames])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_blips_retrieval_model_has_two_towers(tmp_path):
    """The library gives cosines alone, and only of a picture with a text."""
    folder = tmp_path / "blip"
    folder.mkdir()
    model = tiny_rerankers.blip(folder)
    encoder = names.load(str(folder), Settings(home=tmp_path / "home", device="cpu"))
    assert set(encoder.info.towers) == {Modality.TEXT, Modality.IMAGE, Modality.VIDEO}
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    processor = hf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    shown = [picture.convert("RGB") for picture in pictures()]
    values = torch.cat([processor(p, return_tensors="pt")["pixel_values"] for p in shown])
    theirs = []
    for text in TEXTS_OF_ALL_KINDS:
        feed = tokenizer([text], truncation=True, return_tensors="pt")
        with torch.no_grad():
            found = model(
                feed["input_ids"], values, attention_mask=feed["attention_mask"], use_itm_head=False
            )
        theirs.append(found.itm_score[:, 0].numpy())
    texts = embed(encoder, Modality.TEXT, TEXTS_OF_ALL_KINDS)
    close(embed(encoder, Modality.IMAGE, shown) @ texts.T, np.stack(theirs, axis=1))


class TestClip(EncoderConformance):
    tolerance = 1e-5
    kind = "clip"

    @pytest.fixture(autouse=True)
    def build(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp(self.kind)
        tiny_models.FAMILIES[self.kind](folder)
        self.made = names.load(str(folder), Settings(home=tmp_path_factory.mktemp("home")))

    def make_encoder(self):
        return self.made


class TestClapFused(TestClip):
    kind = "clap_fused"


class TestXClip(TestClip):
    kind = "x_clip"


class TestSiglip2(TestClip):
    kind = "siglip2"
