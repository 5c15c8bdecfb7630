"""Rerankers that look at pictures, against the reference libraries' own scores."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs polyseek[torch]: make test-torch")
hf = pytest.importorskip("transformers")

from PIL import Image
from test_rerank import ask, names, store  # noqa: F401 - a fixture
from watched import IMAGE, add, colour

import tiny_rerankers
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, MissingExtraError, ModelLoadError
from polyseek.core.reranking import RerankSetup
from polyseek.core.types import Modality
from polyseek.search.rerankers import cross_encoder, itm
from polyseek.testing.reranker import RerankerConformance, candidates, question

pytestmark = [pytest.mark.torch, pytest.mark.slow]

OFFLINE = Settings(offline=True)
LONG = "a red car " * 40
LONGEST = {"blip": 16, "blip_2": 16 + 3, "bridgetower": 30, "vilt": 16}
"""Tokens of a text, with those that stand for the picture."""


def picture_of(hit):
    """Another noise for every uri, of another shape; nothing for what is no picture."""
    if hit.modality is not Modality.IMAGE:
        return None
    rng = np.random.default_rng(list(hit.uri.encode()))
    sides = rng.integers(40, 60, 2)
    return Image.fromarray(rng.integers(0, 256, (*sides, 3), np.uint8))


def candidates_of(hits):
    return [replace(one, hit=hit) for one, hit in zip(candidates(len(hits)), hits, strict=True)]


def setup_of(folder, **more):
    settings = more.pop("settings", OFFLINE)
    return RerankSetup(settings=settings, options={"model": str(folder)}, **more)


@pytest.fixture(scope="module", params=tiny_rerankers.HEADS)
def head(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, tiny_rerankers.HEADS[request.param](folder), folder


@pytest.mark.parametrize("text", ["a red car", "two dogs run along the beach", LONG])
def test_a_matching_head_gives_the_librarys_odds(head, text):
    name, model, folder = head
    ours = itm.load(setup_of(folder, signal_of=picture_of))
    given = candidates(11)
    found = list(ours.scores(question(text), given))
    processor = hf.AutoProcessor.from_pretrained(folder)
    asked = {"use_image_text_matching_head": True} if name == "blip_2" else {}
    expected = []
    for one in given:  # one by one, as the library's page says
        if one.hit.modality is not Modality.IMAGE:
            expected.append(None)
            continue
        feed = processor(
            images=picture_of(one.hit), text=text, truncation=True, max_length=LONGEST[name],
            return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            output = model(**feed, **asked)
        logits = next(output[key] for key in ("itm_score", "logits_per_image", "logits")
                      if key in output)  # fmt: skip
        if logits.shape[1] == 2:
            _, match = logits.softmax(dim=1)[0].double().tolist()
            expected.append(np.log(match / (1 - match)))
        else:
            expected.append(logits.item())
    assert [one is None for one in found] == [one is None for one in expected]
    known = [one for one in expected if one is not None]
    assert np.ptp(known) > 0.01, "the reference tells nothing apart"
    np.testing.assert_allclose([one for one in found if one is not None], known, atol=1e-3)


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blip")
    tiny_rerankers.blip(folder)
    return folder


class TestItm(RerankerConformance):
    @pytest.fixture(autouse=True)
    def folder(self, blip):
        self.path = blip

    def make_reranker(self):
        return itm.load(setup_of(self.path, signal_of=picture_of))


def test_what_cannot_be_seen_keeps_its_place(store, encoder, blip):  # noqa: F811
    add(store, IMAGE, **{f"p{i}": colour("red") for i in range(5)})
    before = ask(store, encoder, None)
    reranker = itm.load(setup_of(blip, signal_of=picture_of))
    found = ask(store, encoder, reranker)
    assert found.notes == ()
    texts = [i for i, hit in enumerate(before) if hit.modality is Modality.TEXT]
    assert [names(found)[i] for i in texts] == [names(before)[i] for i in texts]
    pictures = [one for one in candidates_of(before) if one.hit.modality is IMAGE]
    scores = dict(zip(pictures, reranker.scores(question("red"), pictures), strict=True))
    order = sorted(pictures, key=lambda one: -scores[one])
    shown = [name for name in names(found) if name.startswith("p")]
    assert shown == [one.hit.uri.rsplit("/", 1)[1] for one in order]
    assert len(shown) == 5


def test_a_model_without_such_a_head_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ModelLoadError, match="'clip' models have no image-text matching head"):
        itm.load(setup_of(tmp_path))


def test_missing_weights_are_not_made_up(tmp_path):
    model = tiny_rerankers.blip(tmp_path)
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("itm_head")}
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(ModelLoadError, match="2 weights of a blip model are missing"):
        itm.load(setup_of(tmp_path))


@pytest.fixture(scope="module")
def vision_language(tmp_path_factory):
    return tiny_rerankers.vision_language(tmp_path_factory.mktemp("vlm"))


def test_a_vision_language_model_sees_pictures_and_reads_texts(vision_language):
    model, folder = vision_language
    ours = cross_encoder.load(setup_of(folder, signal_of=picture_of))
    given = candidates(11)
    found = list(ours.scores(question("a red car"), given))
    sides = [picture_of(one.hit) or one.texts[0] for one in given]
    expected = [float(model.predict([("a red car", side)])[0]) for side in sides]
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_picture_that_cannot_be_seen_is_judged_by_its_words(vision_language):
    model, folder = vision_language
    ours = cross_encoder.load(setup_of(folder, signal_of=lambda _: None))
    found = list(ours.scores(question("a red car"), candidates(3)))
    words = [("a red car", one.texts[0]) for one in candidates(3)]
    np.testing.assert_allclose(found, model.predict(words), atol=1e-5)


class TestVisionLanguage(RerankerConformance):
    @pytest.fixture(autouse=True)
    def folder(self, vision_language):
        self.path = vision_language[1]

    def make_reranker(self):
        return cross_encoder.load(setup_of(self.path, signal_of=picture_of))


@pytest.mark.parametrize("kind", [itm, cross_encoder])
class TestWhereModelsComeFrom:
    def test_a_licence_that_forbids_commercial_use(self, kind, tmp_path):
        (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
        with pytest.raises(ConfigError, match="forbids commercial use"):
            kind.load(setup_of(tmp_path))

    def test_code_that_comes_with_a_model_is_not_run(self, kind, tmp_path):
        told = {"model_type": "blip", "auto_map": {"AutoModel": "evil.Evil"}}
        (tmp_path / "config.json").write_text(json.dumps(told))
        with pytest.raises(ModelLoadError, match="never run"):
            kind.load(setup_of(tmp_path))

    def test_a_folder_that_is_not_there(self, kind):
        with pytest.raises(ModelLoadError, match="no such folder"):
            kind.load(setup_of("./nowhere"))

    def test_a_damaged_configuration(self, kind, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "blip", "text_config": 7}')
        with pytest.raises(ModelLoadError, match=str(tmp_path)):
            kind.load(setup_of(tmp_path))

    def test_the_line_that_installs_it(self, kind, tmp_path, monkeypatch):
        for package in ("sentence_transformers", "transformers"):
            monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=r"pip install 'polyseek\[rerank\]'"):
            kind.load(setup_of(tmp_path))

    def test_a_hub_that_may_not_be_asked(self, kind, tmp_path):
        with pytest.raises(ModelLoadError, match="set to offline"):
            kind.load(setup_of("owner/model", settings=Settings(home=tmp_path, offline=True)))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from hub_fixtures import hub_of_tests

    yield from hub_of_tests(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["owner/blip", "hf:owner/blip"])
def test_a_model_from_the_hub_is_pinned_and_checked(hub, blip, tmp_path, name):
    files = {path.name: path.read_bytes() for path in blip.iterdir() if path.is_file()}
    hub.commit("owner/blip", {**files, "pytorch_model.bin": b"x", "tf_model.h5": b"x"})
    home = tmp_path / "home"
    online = itm.load(setup_of(name, signal_of=picture_of, settings=Settings(home=home)))
    first = list(online.scores(question("a red car"), candidates(5)))
    assert not [path for _, path, _ in hub.asked if path.endswith((".bin", ".h5"))]
    asked = len(hub.asked)
    again = itm.load(
        setup_of(name, signal_of=picture_of, settings=Settings(home=home, offline=True))
    )
    assert list(again.scores(question("a red car"), candidates(5))) == first
    assert len(hub.asked) == asked
    local = itm.load(setup_of(blip, signal_of=picture_of))
    assert list(local.scores(question("a red car"), candidates(5))) == first


def test_a_noncommercial_model_is_not_fetched(hub, blip, tmp_path):
    files = {path.name: path.read_bytes() for path in blip.iterdir() if path.is_file()}
    hub.commit("owner/blip", files, licence="cc-by-nc-4.0")
    with pytest.raises(ConfigError, match="forbids commercial use"):
        itm.load(setup_of("owner/blip", settings=Settings(home=tmp_path / "home")))
    assert not [path for _, path, _ in hub.asked if path.endswith(".safetensors")]
