"""open_clip checkpoints, against the library itself, and what is refused.

The library needs torchvision, of which there is no build for every torch: the tests that run a
model are skipped, by name, where it cannot be imported.
"""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")

from PIL import Image

from polyseek.api.exporting import export_model
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, MissingExtraError, ModelLoadError
from polyseek.core.model_files import local_files
from polyseek.core.types import Modality, Role
from polyseek.encode import names
from polyseek.encode.torch import open_clip as family
from polyseek.testing.encoder import TEXTS, EncoderConformance

pytestmark = pytest.mark.torch

try:
    import open_clip
except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
    open_clip, MISSING = None, f"open_clip cannot be imported: {error}"
else:
    MISSING = ""
needs_library = pytest.mark.skipif(open_clip is None, reason=MISSING)

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
VISION = {"image_size": 24, "layers": 2, "width": 32, "patch_size": 8, "head_width": 8}
CONFIGS = {
    "clip": {"model_cfg": {"embed_dim": 20, "vision_cfg": VISION, "text_cfg": TEXT}},
    "openai": {
        "model_cfg": {
            "embed_dim": 20, "quick_gelu": True, "vision_cfg": VISION,
            "text_cfg": {**TEXT, "context_length": 77},
        }
    },
    "mobile": {  # as MobileCLIP2: an image tower of timm's, no normalisation
        "model_cfg": {
            "embed_dim": 20, "custom_text": True, "text_cfg": TEXT,
            "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "token", "image_size": 160},
        },
        "preprocess_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"},
    },
    "siglip": {
        "model_cfg": {
            "embed_dim": 32, "init_logit_bias": -10, "custom_text": True, "vision_cfg": VISION,
            "text_cfg": {
                **TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
                "tokenizer_kwargs": {"clean": "canonicalize"},
            },
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
    },
}  # fmt: skip


def saved(folder, kind):
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    (folder / family.CONFIG).write_text(json.dumps(CONFIGS[kind]))
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", device="cpu")


@pytest.fixture(scope="module", params=CONFIGS)
def made(request, tmp_path_factory):
    folder = saved(tmp_path_factory.mktemp("open_clip") / request.param, request.param)
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu")
    model, _, transform = open_clip.create_model_and_transforms(
        f"local-dir:{folder}", load_weights=True
    )
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return names.load(str(folder), settings), model.eval(), transform, tokenizer


def embed(encoder, modality, signals):
    prepared = [encoder.info.towers[modality].prepare(each) for each in signals]
    return encoder.encode(modality, prepared, role=Role.DOCUMENT).shared


def close(ours, theirs):
    theirs = theirs.detach().numpy()
    theirs = theirs / np.linalg.norm(theirs, axis=-1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.ptp(theirs, axis=0).max() > 0.01, "the reference tells nothing apart"


@needs_library
def test_texts(made):
    encoder, model, _, tokenizer = made
    texts = [
        *TEXTS, "😀 a dog 🏖️ 🐕", "一只红色的狗在海滩上", "word " * 3000,
        "ALL CAPS, with punctuation!? and   spaces\tand\nlines",
    ]  # fmt: skip
    close(embed(encoder, Modality.TEXT, texts), model.encode_text(tokenizer(texts)))


@needs_library
def test_pictures_and_videos(made):
    encoder, model, transform, _ = made
    rng = np.random.default_rng(0)
    shapes = [(40, 60), (24, 24), (7, 300), (300, 9), (1, 1), (640, 481), (23, 25)]
    pictures = [Image.fromarray(rng.integers(0, 256, (*s, 3), np.uint8)) for s in shapes]
    pictures += [pictures[0].convert("L"), pictures[1].convert("P"), pictures[5].convert("CMYK")]
    # The library resizes a picture before it makes it RGB, which for palettes is worse.
    theirs = model.encode_image(torch.stack([transform(p.convert("RGB")) for p in pictures]))
    close(embed(encoder, Modality.IMAGE, pictures), theirs)
    frames = encoder.info.towers[Modality.VIDEO].prepare(pictures[:2])
    (shot,) = encoder.encode(Modality.VIDEO, [frames], role=Role.DOCUMENT).shared
    rows = embed(encoder, Modality.IMAGE, pictures[:2])
    np.testing.assert_allclose(shot, rows.mean(0) / np.linalg.norm(rows.mean(0)), atol=1e-4)


@needs_library
@pytest.mark.slow
def test_an_export_gives_the_same(tmp_path, settings):
    folder = saved(tmp_path / "mobile", "mobile")
    report = export_model(folder, tmp_path / "out", settings=settings)
    assert min(report.least_cosine.values()) > 0.9999
    ours, theirs = (names.load(str(each), settings) for each in (tmp_path / "out", folder))
    for modality, tower in theirs.info.towers.items():
        prepared = [tower.prepare(each) for each in EncoderConformance.signals(None, modality)]
        left, right = (e.encode(modality, prepared, role=Role.QUERY).shared for e in (ours, theirs))
        np.testing.assert_allclose(left, right, atol=1e-4)


@needs_library
class TestOpenClip(EncoderConformance):
    tolerance = 1e-5

    @pytest.fixture(autouse=True)
    def build(self, made):
        self.made = made[0]

    def make_encoder(self):
        return self.made


def refused(folder, settings, match, error=ModelLoadError):
    with pytest.raises(error, match=match):
        names.load(str(folder), settings)


@needs_library
def test_files_that_are_missing_or_damaged(tmp_path, settings):
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path / "clip", "clip")
    path = folder / "open_clip_model.safetensors"
    weights = load_file(path)
    del weights["text_projection"]
    save_file(weights, path)
    refused(folder, settings, "open_clip cannot load this model .*text_projection.*--check")
    path.write_bytes(path.read_bytes()[:5000])
    refused(folder, settings, "open_clip cannot load this model")


@needs_library
def test_a_text_tower_that_the_library_asks_the_hub_for(tmp_path, settings):
    folder = saved(tmp_path / "clip", "clip")
    config = {**CONFIGS["clip"]["model_cfg"], "text_cfg": {"hf_model_name": "no/where"}}
    (folder / family.CONFIG).write_text(json.dumps({"model_cfg": config}))
    refused(folder, replace(settings, offline=True), "how 'no/where', its text tower, is built")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder whose configuration is looked at and no more: the library is not needed."""
    monkeypatch.setattr(family, "library", lambda: None)

    def write(config):
        folder = tmp_path / "written"
        folder.mkdir(exist_ok=True)
        (folder / "open_clip_model.safetensors").write_bytes(b"")
        (folder / family.CONFIG).write_text(json.dumps(config))
        return folder

    return write


@pytest.mark.parametrize(
    ("preprocess", "match"),
    [
        ({"resize_mode": "longest"}, "resize_mode 'longest'.*known: squash"),
        ({"interpolation": "random"}, "interpolation 'random'"),
        ({"size": [224, 112]}, r"size \[224, 112\]"),
    ],
)
def test_pictures_that_would_be_made_ready_wrongly(written, preprocess, match):
    folder = written({**CONFIGS["clip"], "preprocess_cfg": preprocess})
    with pytest.raises(ModelLoadError, match=match):
        family.OpenClipFamily().look(folder)


def test_a_model_with_one_tower(written):
    folder = written({"model_cfg": {"vision_cfg": VISION}})
    with pytest.raises(ModelLoadError, match="expected model_cfg with vision_cfg and text_cfg"):
        family.OpenClipFamily().look(folder)


def test_a_tokenizer_that_is_code_is_never_run(written, settings):
    text = {**TEXT, "hf_tokenizer_name": "a/b", "tokenizer_kwargs": {"trust_remote_code": True}}
    folder = written({"model_cfg": {**CONFIGS["clip"]["model_cfg"], "text_cfg": text}})
    with pytest.raises(ModelLoadError, match="comes as code with the model"):
        family.OpenClipFamily().look(folder)
    files = local_files(str(folder), folder, [family.CONFIG], settings)
    with pytest.raises(ModelLoadError, match="comes as code with the model"):
        _ = family.LoadedOpenClip(files, settings).texts


def test_which_files_are_wanted():
    wanted = family.OpenClipFamily().wanted
    both = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin", "README.md"]
    assert wanted([*both, family.CONFIG]) == [family.CONFIG, "open_clip_model.safetensors"]
    assert wanted([both[1], family.CONFIG, "tokenizer.json", "onnx/model.onnx"]) == [
        family.CONFIG, both[1], "tokenizer.json"
    ]  # fmt: skip
    assert wanted(both) == wanted([family.CONFIG]) == []


def test_a_library_that_is_not_there_or_does_not_fit(monkeypatch):
    monkeypatch.setattr(importlib, "import_module", _raise(ModuleNotFoundError("open_clip")))
    with pytest.raises(MissingExtraError, match=r"pip install 'polyseek\[open-clip\]'"):
        family.library()
    told = RuntimeError("operator torchvision::nms does not exist")
    monkeypatch.setattr(importlib, "import_module", _raise(told))
    with pytest.raises(ConfigError, match="nms does not exist.*releases that belong together"):
        family.library()


def _raise(error):
    def fail(name):
        raise error

    return fail
