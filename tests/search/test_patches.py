"""Words that look for their part of a picture, with an encoder whose parts are colours."""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, QueryError
from polyseek.core.hits import Composition, Hit, Query, Term
from polyseek.core.reranking import Candidate, RerankSetup
from polyseek.core.types import Embeddings, Modality, Role, Sound, Span, SpanUnit
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
        picture = self.info.towers[Modality.IMAGE].prepare(picture)
        quarters = [picture[y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4)]
        means = np.array([quarter.reshape(-1, 3).mean(axis=0) for quarter in quarters])
        distances = np.linalg.norm(np.array(list(COLOURS.values())) - means[:, None], axis=2)
        return np.eye(len(COLOURS), dtype=np.float32)[distances.argmin(axis=1)]

    def words(self, text):
        known = [NAMES.index(word) for word in text.split() if word in COLOURS]
        return np.eye(len(COLOURS), dtype=np.float32)[known], np.ones(len(known), np.float32)


class SoundParts(ColourParts):
    """Moments of a sound too, one for each sample, which says how much it is what is asked for."""

    def sound_patches(self, sound):
        self.seen += 1
        rows = np.zeros((len(sound.samples), self.info.dim), np.float32)
        rows[:, 0], rows[:, 1] = sound.samples, np.sqrt(1 - sound.samples**2)
        return rows


@pytest.fixture
def encoder():
    return ColourParts()


@pytest.fixture
def reranker(encoder, tmp_path):
    def signal_of(hit):
        path = Path(hit.uri.removeprefix("file://"))
        if not path.exists():
            return None
        if hit.modality is Modality.IMAGE:
            return Image.open(path)
        return Sound(samples=np.load(path), sample_rate_hz=16_000)

    return patches.load(
        RerankSetup(settings=Settings(home=tmp_path / "home"), encoder=encoder, signal_of=signal_of)
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


def played(path, *samples):
    np.save(path, np.array(samples, np.float32))
    return candidate(path.with_suffix(".npy"), Modality.AUDIO)


def asked(text, dim):
    """A text that is embedded as the first axis."""
    row = np.eye(1, dim, dtype=np.float32)
    return replace(question(text), embeddings=[Embeddings(shared=row, tower=row)])


class TestSounds:
    @pytest.fixture
    def encoder(self):
        return SoundParts()

    def test_a_sound_with_one_good_moment_wins(self, reranker, encoder, tmp_path):
        even = played(tmp_path / "even", 0.5, 0.5, 0.5, 0.5)
        once = played(tmp_path / "once", 0.0, 0.0, 0.9, 0.0)
        text = candidate(tmp_path / "c.txt", Modality.TEXT)
        gone = candidate(tmp_path / "gone.npy", Modality.AUDIO)
        query = asked("no word it knows", encoder.info.dim)
        found = list(reranker.scores(query, [even, text, once, gone]))
        weight, usual = patches.WEIGHT, (0.5 + 0.9) / 2
        expected = [weight * (0.5 - usual), 0, weight * (0.9 - usual), 0]
        assert found == pytest.approx(expected, abs=0.2)

    def test_every_moment_of_a_recording_is_kept_by_itself(self, reranker, encoder, tmp_path):
        one = played(tmp_path / "one", 0.1, 0.2)
        span = Span(unit=SpanUnit.SECONDS, start=0, end=10)
        other = replace(one, hit=replace(one.hit, span=span))
        for _ in range(2):
            list(reranker.scores(asked("red", encoder.info.dim), [one, other]))
        assert encoder.seen == 2
        assert len(list((tmp_path / "home" / "patches").rglob("*.npy"))) == 2

    def test_a_query_without_words_says_so(self, reranker, tmp_path):
        picture = Term(query=Query(modality=Modality.IMAGE, signals=[], label="image"))
        bare = replace(question("x"), query=Composition(terms=[picture]))
        with pytest.raises(QueryError, match="look or sound"):
            list(reranker.scores(bare, [played(tmp_path / "one", 0.1)]))


def test_without_parts_of_sounds_a_sound_keeps_its_evidence(reranker, tmp_path):
    sound = played(tmp_path / "one", 0.9)
    assert list(reranker.scores(question("red"), [sound])) == pytest.approx([0], abs=1e-9)


class TestPassages:
    @staticmethod
    def written(encoder, text, probability=0.5):
        hit = Hit(id=text, uri=f"mem:/{text}", modality=Modality.TEXT, score=0.5, text=text)
        rows = encoder.encode(Modality.TEXT, [text], role=Role.DOCUMENT)
        return Candidate(
            hit=hit, probability=probability, shared=rows.shared[0], tower=rows.tower[0]
        )

    @staticmethod
    def asked(encoder, text):
        rows = encoder.encode(Modality.TEXT, [text], role=Role.QUERY)
        return replace(question(text), embeddings=[rows])

    def test_one_right_sentence_is_enough(self, reranker, encoder):
        mixed = "Two dogs sleep. A red car. Grass grows on the roof of the house."
        other = "Two dogs sleep. Somebody sings. Grass grows on the roof of the house."
        texts = [self.written(encoder, text) for text in (other, mixed)]
        found = list(reranker.scores(self.asked(encoder, "A red car."), texts))
        assert found[1] > found[0] + 1

    def test_a_single_sentence_keeps_its_evidence(self, reranker, encoder):
        texts = [self.written(encoder, text) for text in ("A red car.", "Somebody sings")]
        found = list(reranker.scores(self.asked(encoder, "A red car."), texts))
        assert found == pytest.approx([0, 0], abs=1e-9)

    def test_sentences_are_kept_wherever_the_passage_stands(self, reranker, encoder, tmp_path):
        text = "Two dogs sleep. A red car."
        one = self.written(encoder, text)
        copy = replace(one, hit=replace(one.hit, uri="mem:/copy"))
        list(reranker.scores(self.asked(encoder, "red"), [one, copy]))
        assert len(list((tmp_path / "home" / "patches").rglob("*.npy"))) == 1

    def test_without_a_tower_of_its_own_a_text_keeps_its_evidence(self, reranker, encoder):
        bare = replace(self.written(encoder, "A red car."), tower=np.zeros(0, np.float32))
        found = list(reranker.scores(self.asked(encoder, "red"), [bare]))
        assert found == pytest.approx([0], abs=1e-9)


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
    again = patches.PatchReranker(encoder, lambda hit: None, reranker._folder)
    assert list(again.scores(question("red"), [one])) == pytest.approx(first)
    assert encoder.seen == 1
    kept.write_bytes(kept.read_bytes()[:40])  # cut short
    fresh = patches.load(
        RerankSetup(
            settings=Settings(home=tmp_path / "home"), encoder=encoder,
            signal_of=reranker._signal_of,
        )
    )  # fmt: skip
    assert list(fresh.scores(question("red"), [one])) == pytest.approx(first)
    assert encoder.seen == 2


def test_a_folder_that_cannot_be_written_costs_no_answer(reranker, tmp_path, caplog):
    (tmp_path / "home").write_text("a file")
    one = drawn(tmp_path / "a.png", "red", "blue", "red", "red")
    assert len(list(reranker.scores(question("red"), [one]))) == 1
    assert "parts of hits are not kept" in caplog.text


def test_a_full_disk_is_told_and_left_as_it_was(tmp_path, caplog):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        patches._keep(tmp_path / "ab" / "parts.npy", np.ones((100, 100), np.int8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "parts of hits are not kept" in caplog.text
    assert "None" not in caplog.text
    assert not list((tmp_path / "ab").iterdir())


def test_it_needs_an_encoder_with_parts(tmp_path):
    with pytest.raises(ConfigError, match="'fake' does not"):
        patches.load(RerankSetup(encoder=FakeEncoder()))
    with pytest.raises(ConfigError, match="has no settings, got 'size'"):
        patches.load(RerankSetup(options={"size": 1}, encoder=ColourParts()))
