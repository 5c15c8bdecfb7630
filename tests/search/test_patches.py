"""Words that look for their part of a picture, with an encoder whose parts are colours."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError
from polyseek.core.hits import Hit, Query
from polyseek.core.reranking import Candidate, RerankSetup
from polyseek.core.types import Modality
from polyseek.search.rerankers import patches
from polyseek.testing import FakeEncoder
from polyseek.testing.fake_encoder import COLOURS
from polyseek.testing.reranker import question

NAMES = list(COLOURS)


class ColourParts(FakeEncoder):
    """Four parts of a picture, each the colour it is most of."""

    seen = 0

    def patches(self, picture):
        self.seen += 1
        quarters = [picture[y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4)]
        means = np.array([quarter.reshape(-1, 3).mean(axis=0) for quarter in quarters])
        distances = np.linalg.norm(np.array(list(COLOURS.values())) - means[:, None], axis=2)
        return np.eye(len(COLOURS), dtype=np.float32)[distances.argmin(axis=1)]

    def words(self, text):
        known = [NAMES.index(word) for word in text.split() if word in COLOURS]
        return np.eye(len(COLOURS), dtype=np.float32)[known], np.ones(len(known), np.float32)


@pytest.fixture
def encoder():
    return ColourParts()


@pytest.fixture
def reranker(encoder, tmp_path):
    def read(uri):
        path = Path(uri.removeprefix("file://"))
        if not path.exists():
            return None
        return Query(modality=Modality.IMAGE, signals=[Image.open(path)], label=path.name)

    return patches.load(
        RerankSetup(settings=Settings(home=tmp_path / "home"), encoder=encoder, read=read)
    )


def drawn(path, *colours):
    image = Image.new("RGB", (16, 16))
    for i, colour in enumerate(colours):
        image.paste(COLOURS[colour], (8 * (i % 2), 8 * (i // 2), 8 * (i % 2) + 8, 8 * (i // 2) + 8))
    image.save(path)
    return candidate(path)


def candidate(path, modality=Modality.IMAGE, probability=0.5):
    hit = Hit(id=path.name, uri=path.as_uri(), modality=modality, score=0.5)
    empty = np.zeros(0, np.float32)
    return Candidate(hit=hit, probability=probability, shared=empty, tower=empty)


def test_a_picture_with_every_word_somewhere_wins(reranker, tmp_path):
    one = drawn(tmp_path / "a.png", "red", "red", "red", "red")
    both = drawn(tmp_path / "b.png", "red", "green", "green", "blue")
    text = candidate(tmp_path / "c.txt", Modality.TEXT)
    gone = candidate(tmp_path / "gone.png")
    found = list(reranker.scores(question("a red blue car"), [one, text, both, gone]))
    assert found[2] > found[1] > found[0]
    assert found[1] == found[3] == pytest.approx(0, abs=1e-9)


def test_where_it_is(reranker, tmp_path):
    both = drawn(tmp_path / "b.png", "red", "green", "green", "blue")
    found = reranker.where(question("blue"), both.hit)
    assert found.tolist() == [[0, 0], [0, 1]]
    assert reranker.where(question("blue"), candidate(tmp_path / "gone.png").hit) is None
    assert reranker.where(question("nothing known"), both.hit) is None


def test_parts_are_kept_for_the_next_process(reranker, encoder, tmp_path):
    one = drawn(tmp_path / "a.png", "red", "blue", "red", "red")
    first = list(reranker.scores(question("red"), [one]))
    [kept] = (tmp_path / "home" / "patches").rglob("*.npy")
    assert encoder.seen == 1
    again = patches.PatchReranker(encoder, lambda uri: None, reranker._folder)
    assert list(again.scores(question("red"), [one])) == pytest.approx(first)
    assert encoder.seen == 1
    kept.write_bytes(kept.read_bytes()[:40])  # cut short
    fresh = patches.load(
        RerankSetup(settings=Settings(home=tmp_path / "home"), encoder=encoder, read=reranker._read)
    )
    assert list(fresh.scores(question("red"), [one])) == pytest.approx(first)
    assert encoder.seen == 2


def test_a_folder_that_cannot_be_written_costs_no_answer(reranker, tmp_path, caplog):
    (tmp_path / "home").write_text("a file")
    one = drawn(tmp_path / "a.png", "red", "blue", "red", "red")
    assert len(list(reranker.scores(question("red"), [one]))) == 1
    assert "parts of pictures are not kept" in caplog.text


def test_it_needs_an_encoder_with_parts(tmp_path):
    with pytest.raises(ConfigError, match="'fake' does not"):
        patches.load(RerankSetup(encoder=FakeEncoder(), read=lambda uri: None))
    with pytest.raises(ConfigError, match="has no settings, got 'size'"):
        patches.load(RerankSetup(options={"size": 1}, encoder=ColourParts(), read=lambda u: None))
