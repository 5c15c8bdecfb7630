"""Retrievers for LangChain and LlamaIndex, with their own packages."""

import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture
def collection(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    folder = tmp_path / "things"
    folder.mkdir()
    Image.new("RGB", (32, 24), "red").save(folder / "red.png")
    (folder / "note.txt").write_text("A red car on the road.")
    opened = polyseek.open(tmp_path / "things.polyseek")
    opened.add(folder, workers=1)
    return opened


def check(texts, fields):
    assert set(texts) == {"A red car on the road.", "image red.png"}
    assert {one["modality"] for one in fields} == {"text", "image"}
    assert all(one["uri"].startswith("file:") for one in fields)


def test_langchain(collection):
    langchain = pytest.importorskip("polyseek.integrations.langchain")
    found = langchain.PolyseekRetriever(collection=collection, k=2).invoke("a red car")
    check([d.page_content for d in found], [d.metadata for d in found])
    texts = langchain.PolyseekRetriever(collection=collection, options={"modalities": ["text"]})
    assert len(texts.invoke("/etc/passwd")) == 1


def test_llama_index(collection):
    pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")
    from polyseek.integrations.llama_index import PolyseekRetriever

    found = PolyseekRetriever(collection, similarity_top_k=2).retrieve("a red car")
    check([n.node.text for n in found], [n.node.metadata for n in found])
    assert [n.score for n in found] == sorted((n.score for n in found), reverse=True)
