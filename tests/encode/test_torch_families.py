"""Models that must be refused, sentence-transformers, and what a process need not load."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")
hf = pytest.importorskip("transformers")

from PIL import Image

import tiny_models
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, EncoderError, MissingExtraError, ModelLoadError
from polyseek.core.types import Modality, Role
from polyseek.encode import names
from polyseek.testing.encoder import TEXTS, EncoderConformance

pytestmark = pytest.mark.torch


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", device="cpu")


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    tiny_models.clip(folder)
    return folder


def refused(folder, settings, match, error=ModelLoadError):
    with pytest.raises(error, match=match):
        names.load(str(folder), settings)


def test_an_unknown_architecture(clip, settings):
    (clip / "config.json").write_text('{"model_type": "klip", "auto_map": {"AutoModel": "x.Y"}}')
    refused(clip, settings, "unknown architecture 'klip'.*with a model is never run")
    (clip / "config.json").write_text("{")
    refused(clip, settings, "cannot be read as JSON")


def test_a_model_with_one_tower(tmp_path, settings):
    folder = tmp_path / "bert"
    folder.mkdir()
    tokenizer = tiny_models.bert_tokenizer(folder)
    config = hf.BertConfig(**tiny_models.TINY, vocab_size=len(tokenizer))
    tiny_models.saved(hf.BertModel(config), folder)
    refused(folder, settings, "a bert model has no features of a shared space.*two towers")


def test_files_that_are_missing_or_damaged(clip, settings):
    weights = (clip / "model.safetensors").read_bytes()
    processor = (clip / "preprocessor_config.json").read_text()
    (clip / "model.safetensors").write_bytes(weights[:5000])
    refused(clip, settings, "the weights cannot be loaded .*--check")
    (clip / "model.safetensors").write_bytes(weights)
    (clip / "preprocessor_config.json").unlink()
    refused(clip, settings, "no file that says how signals are made ready")
    (clip / "preprocessor_config.json").write_text(processor.replace("CLIPImage", "PixImage"))
    refused(clip, settings, "made ready by 'PixImageProcessor', which polyseek does not know")
    (clip / "preprocessor_config.json").write_text(processor)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (clip / name).unlink()
    refused(clip, settings, "has no tokenizer; expected tokenizer.json")
    (clip / "tokenizer.json").write_text("{")
    refused(clip, settings, "no tokenizer that can be read")


def test_weights_that_are_missing_are_not_made_up(clip, settings):
    from safetensors.torch import load_file, save_file

    weights = load_file(clip / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, clip / "model.safetensors", metadata={"format": "pt"})
    refused(clip, settings, "1 weights of a clip model are missing.*text_projection.weight")


def test_a_device_that_is_not_there(clip, settings):
    elsewhere = replace(settings, device="cuda:9")
    refused(
        clip, elsewhere, "device 'cuda:9' cannot be used here.*POLYSEEK_DEVICE=cpu", ConfigError
    )
    refused(clip, replace(settings, device="gpu"), "device 'gpu' cannot be used", ConfigError)


def test_without_torch_the_error_is_the_line_that_installs_it(clip, settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused(clip, settings, r"pip install 'polyseek\[torch\]'", MissingExtraError)


def test_what_was_described_once_opens_without_torch(clip, settings):
    first = names.load(str(clip), settings).info
    script = f"""
import sys
from pathlib import Path
from polyseek.core.config import Settings
from polyseek.encode import names
info = names.load({str(clip)!r}, Settings(home=Path({str(settings.home)!r}))).info
assert (info.dim, info.checksums) == ({first.dim}, {dict(first.checksums)!r})
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    folder = tmp_path_factory.mktemp("sentences")
    tiny_models.sentences(folder, {"query": "red ", "document": ""})
    return folder


def test_a_sentence_transformer_gives_the_librarys_embeddings(sentences, settings):
    library = pytest.importorskip("sentence_transformers")
    encoder = names.load(str(sentences), settings)
    assert set(encoder.info.towers) == {Modality.TEXT}
    theirs = library.SentenceTransformer(str(sentences), device="cpu")
    for role, encode in (
        (Role.QUERY, theirs.encode_query),
        (Role.DOCUMENT, theirs.encode_document),
    ):
        rows = encode(list(TEXTS), normalize_embeddings=True, show_progress_bar=False)
        ours = encoder.encode(Modality.TEXT, TEXTS, role=role).shared
        np.testing.assert_allclose(ours, rows, atol=1e-4)


def test_a_sentence_transformer_with_code_of_its_own(sentences, settings):
    path = next(
        p
        for p in (sentences / "config.json", sentences / "0_Transformer/config.json")
        if p.exists()
    )
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), "auto_map": {"AutoModel": "x.Y"}}))
    try:
        refused(sentences, settings, "comes as code with the model, which is never run")
    finally:
        path.write_text(before)


def test_pictures_in_sentence_transformers(tmp_path, clip, settings):
    library = pytest.importorskip("sentence_transformers")
    library.SentenceTransformer(str(clip), device="cpu").save(str(tmp_path / "st"))
    encoder = names.load(str(tmp_path / "st"), settings)
    assert {Modality.TEXT, Modality.IMAGE} <= set(encoder.info.towers)
    ours, theirs = encoder, names.load(str(clip), settings)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    for modality, signal in ((Modality.IMAGE, picture), (Modality.TEXT, "a red car")):
        left, right = (
            e.encode(modality, [e.info.towers[modality].prepare(signal)], role=Role.DOCUMENT).shared
            for e in (ours, theirs)
        )
        np.testing.assert_allclose(left, right, atol=1e-4)


class TestSentences(EncoderConformance):
    tolerance = 1e-5

    @pytest.fixture(autouse=True)
    def build(self, sentences, settings):
        self.made = names.load(str(sentences), settings)

    def make_encoder(self):
        return self.made


def test_an_encoder_that_lacks_a_modality_says_so(sentences, settings):
    encoder = names.load(str(sentences), settings)
    with pytest.raises(EncoderError, match="has no image tower; it has text"):
        encoder.encode(Modality.IMAGE, [], role=Role.QUERY)
