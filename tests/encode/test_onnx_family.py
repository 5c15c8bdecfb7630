"""ONNX folders: by path, exact, and with errors that name the key."""

import subprocess
import sys

import numpy as np
import pytest
from onnx_folder import MODEL, make
from PIL import Image

import polyseek
from polyseek.core.config import Settings
from polyseek.core.errors import (
    ConfigError,
    EncoderError,
    IncompatibleCollectionError,
    ModelLoadError,
    UnknownPluginError,
)
from polyseek.core.types import Modality, Role
from polyseek.encode import names
from polyseek.encode.spec import Spec, TextSpec, TowerSpec, read_spec, write_spec
from polyseek.testing.encoder import EncoderConformance


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


class TestOnnxFolder(EncoderConformance):
    tolerance = 1e-6

    @pytest.fixture(autouse=True)
    def build(self, tmp_path):
        self.made = names.load(str(make(tmp_path / "m")), Settings(home=tmp_path / "home"))

    def make_encoder(self):
        return self.made

    def signals(self, modality):
        texts = ["a red car", "two dogs run along the beach", "the car", "", "word " * 400]
        return texts if modality is Modality.TEXT else super().signals(modality)


def test_prompts_are_put_before_texts_by_role(tmp_path, settings):
    encoder = names.load(str(make(tmp_path / "m")), settings)
    query, document = (encoder.encode(Modality.TEXT, ["a car"], role=role).shared for role in Role)
    asked = encoder.encode(Modality.TEXT, ["q a car"], role=Role.DOCUMENT).shared
    assert not np.allclose(query, document)
    np.testing.assert_allclose(query, asked, atol=1e-6)


def test_a_shot_is_the_mean_of_its_frames(tmp_path, settings):
    encoder = names.load(str(make(tmp_path / "m")), settings)
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    tower = encoder.info.towers[Modality.VIDEO]
    shots = [tower.prepare(frames), tower.prepare(frames[:1])]
    both, one = encoder.encode(Modality.VIDEO, shots, role=Role.DOCUMENT).shared
    alone = [
        encoder.encode(Modality.VIDEO, [tower.prepare([f])], role=Role.DOCUMENT).shared[0]
        for f in frames
    ]
    np.testing.assert_allclose(one, alone[0], atol=1e-6)
    mean = np.mean(alone, axis=0)
    np.testing.assert_allclose(both, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("dim = 8", "dim = 'x'", r"model.toml: dim is 'x'; expected a int"),
        ("dim = 8\n", "", r"lacks the key 'dim'"),
        ('graph = "image.onnx"', 'grpah = "x"', r"towers.image: unknown key 'grpah'; known: graph"),
        ('pooling = "mean"', 'pooling = "max"', r"pooling is 'max'; expected one of none, mean"),
        ("[towers.text.text]", "[towers.text.picture]", r"unknown key 'max_tokens'"),
        ("format = 1", "format = 2", r"format is 2, this polyseek reads 1"),
        ('"text.onnx"', '"../text.onnx"', r"lies outside the model's folder"),
        ('"text.onnx"', '"gone.onnx"', r"has no file 'gone.onnx'"),
        ("[towers.video]", "[towers.smell]", r"towers is 'smell'; expected one of text"),
        ("[towers.video]", "[towers.imu]", r"towers.imu: lacks the table \[towers.imu.motion\]"),
        ("format = 1", "format =", r"cannot be read as TOML"),
    ],
)  # fmt: skip
def test_a_wrong_description_is_refused(tmp_path, settings, before, after, message):
    assert before in MODEL
    folder = make(tmp_path / "m", MODEL.replace(before, after, 1))
    with pytest.raises(ModelLoadError, match=message):
        names.load(str(folder), settings)


def test_what_goes_wrong_while_it_runs_names_the_graph(tmp_path, settings):
    def encode(text):
        encoder = names.load(str(make(tmp_path / "m", text)), settings)
        return encoder.encode(Modality.IMAGE, [np.zeros((4, 4, 3), np.uint8)], role=Role.DOCUMENT)

    with pytest.raises(EncoderError, match=r"input 'pixels' is not among pixel_values; .*inputs ="):
        encode(MODEL.replace('inputs = { pixel_values = "pixels" }', ""))
    with pytest.raises(EncoderError, match=r"gives arrays of shape \(1, 8\), expected \(1, 9\)"):
        encode(MODEL.replace("dim = 8", "dim = 9"))
    encoder = names.load(str(make(tmp_path / "m")), settings)
    (tmp_path / "m" / "text.onnx").write_bytes(b"\0" * 50)
    with pytest.raises(ModelLoadError, match=r"text.onnx: ONNX Runtime .* cannot load this model"):
        encoder.encode(Modality.TEXT, ["a"], role=Role.QUERY)
    (tmp_path / "m" / "tokenizer.json").write_text("{}")
    encoder = names.load(str(tmp_path / "m"), settings)
    with pytest.raises(ModelLoadError, match="not readable as a tokenizer"):
        encoder.encode(Modality.TEXT, ["a"], role=Role.QUERY)


def test_a_description_survives_writing_and_reading(tmp_path):
    spec = Spec(
        dim=4,
        licence='say "MIT"',
        towers={Modality.TEXT: TowerSpec(graph="a.onnx", text=TextSpec(query="a:\n\t", pad_id=3))},
    )
    write_spec(spec, tmp_path / "model.toml")
    assert read_spec(tmp_path / "model.toml") == spec


def test_licences_that_forbid_commerce_need_a_setting(tmp_path, settings):
    folder = make(tmp_path / "m", MODEL.replace('"MIT"', '"CC-BY-NC-4.0"\nnoncommercial = true'))
    with pytest.raises(ConfigError, match="CC-BY-NC-4.0.*allow_noncommercial = true"):
        names.load(str(folder), settings)
    names.load(str(folder), Settings(home=settings.home, allow_noncommercial=True))
    plain = make(tmp_path / "card")
    (plain / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n# A model")
    with pytest.raises(ConfigError, match="forbids commercial use"):
        names.load(str(plain), settings)
    with pytest.raises(ConfigError, match="jina-clip-v2: its licence"):
        names.load("jina-clip-v2", settings)
    with pytest.raises(ConfigError, match="imagebind: its licence .CC-BY-NC-SA-4.0. forbids"):
        names.load("imagebind", settings)
    with pytest.raises(ModelLoadError, match="listed for comparison"):
        names.load("ms-clap", settings)


def test_names_that_stand_for_nothing(tmp_path, settings):
    with pytest.raises(UnknownPluginError, match=r"unknown encoder 'clip'; known: .*clip-b32.*hf:"):
        names.load("clip", settings)
    with pytest.raises(ModelLoadError, match="no such model folder"):
        names.load(str(tmp_path / "nowhere"), settings)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelLoadError, match="holds no model that any family reads"):
        names.load(str(tmp_path / "empty"), settings)
    with pytest.raises(ModelLoadError, match="holds no model that the onnx family reads"):
        names.load(f"onnx:{tmp_path / 'empty'}", settings)


@pytest.fixture
def indexed(tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "m")
    (tmp_path / "pictures").mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "pictures" / f"{colour}.png")
    collection = polyseek.open("c", encoder="./m", settings=settings)
    assert collection.add("pictures", workers=1).added == 2
    return tmp_path


@pytest.mark.slow
def test_a_collection_opens_with_the_folder_it_was_made_with(indexed, settings):
    opened = polyseek.open("c", settings=settings)
    assert opened.search(indexed / "pictures" / "red.png", show_all=True)[0].uri.endswith("red.png")
    assert opened.status().encoder.startswith(f"onnx:{indexed}/m@")
    for same in ("./m", f"onnx:{indexed}/m", "m/../m"):
        polyseek.open("c", encoder=same, settings=settings)
    with pytest.raises(
        IncompatibleCollectionError, match=r"made with encoder 'onnx:.*', not 'mini'"
    ):
        polyseek.open("c", encoder="mini", settings=settings)


@pytest.mark.slow
def test_a_folder_that_moved_or_changed(indexed, settings):
    (indexed / "m").rename(indexed / "moved")
    with pytest.raises(ModelLoadError, match="copy or link the model to this path"):
        polyseek.open("c", settings=settings)
    polyseek.open("c", encoder="./moved", settings=settings)
    table = (indexed / "moved" / "model.toml").read_text()
    (indexed / "moved" / "model.toml").write_text(
        table.replace("max_tokens = 12", "max_tokens = 9")
    )
    with pytest.raises(IncompatibleCollectionError, match="revision|other files"):
        polyseek.open("c", encoder="./moved", settings=settings)


@pytest.mark.slow
def test_base_imports_never_load_torch(tmp_path):
    script = """
import importlib, pkgutil, sys
import polyseek
for module in pkgutil.walk_packages(polyseek.__path__, "polyseek."):
    if not module.name.startswith(("polyseek.encode.torch", "polyseek.testing")):
        importlib.import_module(module.name)
loaded = {"torch", "transformers", "sentence_transformers"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
