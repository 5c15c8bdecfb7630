"""Exported ONNX folders give what the torch models give, without torch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")

import tiny_imagebind
from onnx_folder import make

import tiny_models
from polyseek.api.exporting import export_model
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, EncoderError
from polyseek.core.types import Modality, Role
from polyseek.encode import names
from polyseek.encode.torch import export as exporting
from polyseek.testing.encoder import EncoderConformance

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"))


def made(tmp_path, family):
    folder = tmp_path / family
    folder.mkdir()
    tiny_models.FAMILIES[family](folder)
    return str(folder)


@pytest.mark.parametrize("family", ["clip", "clap", "x_clip"])
def test_an_export_gives_the_same_embeddings(tmp_path, settings, family):
    model = made(tmp_path, family)
    report = export_model(model, tmp_path / "out", settings=settings)
    assert min(report.least_cosine.values()) > 0.9999
    assert set(report.same_first.values()) == {1.0}
    ours, theirs = (names.load(each, settings) for each in (str(tmp_path / "out"), model))
    assert ours.info.dim == theirs.info.dim
    for modality, tower in theirs.info.towers.items():
        prepared = [tower.prepare(each) for each in EncoderConformance.signals(None, modality)]
        left, right = (e.encode(modality, prepared, role=Role.QUERY).shared for e in (ours, theirs))
        np.testing.assert_allclose(left, right, atol=1e-4)


@pytest.mark.slow
def test_imagebind_becomes_six_graphs_that_give_the_same(tmp_path, settings):
    folder = tmp_path / "imagebind"
    folder.mkdir()
    tiny_imagebind.imagebind(folder)
    allowed = replace(settings, allow_noncommercial=True)
    report = export_model(folder, tmp_path / "out", settings=allowed)
    assert min(report.least_cosine.values()) > 0.9999
    assert set(report.least_cosine) == set(Modality)
    graphs = sorted(path.stem for path in (tmp_path / "out").glob("*.onnx"))
    assert graphs == ["audio", "depth", "image", "imu", "text", "thermal"]  # videos share image's
    with pytest.raises(ConfigError, match=r"\(CC-BY-NC-SA-4.0\) forbids commercial use"):
        names.load(str(tmp_path / "out"), settings)
    ours, theirs = (names.load(str(each), allowed) for each in (tmp_path / "out", folder))
    for modality, tower in theirs.info.towers.items():
        prepared = [tower.prepare(each) for each in EncoderConformance.signals(None, modality)]
        left, right = (e.encode(modality, prepared, role=Role.QUERY).shared for e in (ours, theirs))
        np.testing.assert_allclose(left, right, atol=1e-4)


@pytest.mark.slow
def test_a_sentence_transformer_of_texts(tmp_path, settings):
    library = pytest.importorskip("sentence_transformers")
    folder = tmp_path / "sentences"
    tiny_models.sentences(folder, {"query": "red ", "document": "two "})
    report = export_model(str(folder), tmp_path / "out", settings=settings)
    assert report.least_cosine[Modality.TEXT] > 0.9999
    model = library.SentenceTransformer(str(folder), device="cpu")
    ours = names.load(str(tmp_path / "out"), settings)
    texts = ["a red car", "Two dogs run", "", "word " * 500, "a 狗 😀"]
    for role, encode in (
        (Role.QUERY, model.encode_query),
        (Role.DOCUMENT, model.encode_document),
    ):
        rows = encode(texts, normalize_embeddings=True, show_progress_bar=False)
        found = ours.encode(Modality.TEXT, texts, role=role).shared
        np.testing.assert_allclose(found, rows, atol=1e-4)


def test_what_a_graph_cannot_hold_is_refused(tmp_path, settings):
    library = pytest.importorskip("sentence_transformers")
    library.SentenceTransformer(made(tmp_path, "clip"), device="cpu").save(str(tmp_path / "st"))
    with pytest.raises(ConfigError, match="reads image.* besides texts; .*models of texts alone"):
        export_model(tmp_path / "st", tmp_path / "out", settings=settings)
    with pytest.raises(ConfigError, match="is read by the onnx family, which needs no PyTorch"):
        export_model(make(tmp_path / "onnx"), tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()


def test_a_tower_too_large_for_a_graph_is_refused(tmp_path, settings, monkeypatch):
    import torch

    write = torch.onnx.export

    def spilling(module, example, path, **options):  # what the exporter does beyond 2 GB
        write(module, example, path, **options)
        Path(path).with_name("model.weight").write_bytes(b"0")

    monkeypatch.setattr(torch.onnx, "export", spilling)
    with pytest.raises(ConfigError, match="more than the 2 GB that an ONNX graph holds"):
        export_model(made(tmp_path, "clip"), tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_fewer_bits_pass_the_gate_or_are_refused(tmp_path, settings, precision):
    model = made(tmp_path, "clip")
    try:
        report = export_model(model, tmp_path / "out", precision=precision, settings=settings)
    except EncoderError:
        assert not (tmp_path / "out").exists()
    else:
        assert min(report.least_cosine.values()) >= 0.99
        full = export_model(model, tmp_path / "full", settings=settings)
        assert report.size_bytes < full.size_bytes


def test_a_poor_export_is_refused_and_leaves_nothing(tmp_path, settings, monkeypatch):
    model = made(tmp_path, "clip")
    monkeypatch.setattr(exporting, "LEAST_COSINE", dict.fromkeys(exporting.LEAST_COSINE, 1.1))
    with pytest.raises(EncoderError, match=r"not written: a probe of the \w+ tower in fp32"):
        export_model(model, tmp_path / "out", settings=settings)
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_a_folder_in_use_and_a_tokenizer_in_python_are_refused(tmp_path, settings):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "precious.txt").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        export_model("whatever", tmp_path / "used", settings=settings)
    with pytest.raises(ConfigError, match="runs in Python only"):
        export_model(made(tmp_path, "siglip"), tmp_path / "out", settings=settings)
    with pytest.raises(ConfigError, match="export an unfused CLAP"):
        export_model(made(tmp_path, "clap_fused"), tmp_path / "out", settings=settings)
    with pytest.raises(ConfigError, match="precision is 'int4'"):
        export_model("whatever", tmp_path / "out", precision="int4", settings=settings)


def test_an_exported_folder_needs_no_torch(tmp_path, settings):
    export_model(made(tmp_path, "clip"), tmp_path / "out", settings=settings)
    script = f"""
import sys
from dataclasses import replace
from pathlib import Path
from polyseek.core.config import Settings
from polyseek.core.types import Modality, Role
from polyseek.encode import names
encoder = names.load({str(tmp_path / "out")!r}, Settings(home=Path({str(tmp_path)!r})))
encoder.encode(Modality.TEXT, ["a red car"], role=Role.QUERY)
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert Modality.IMAGE in names.load(str(tmp_path / "out"), settings).info.towers
    assert Path(tmp_path / "out" / "model.toml").read_text().startswith("format = 1")
