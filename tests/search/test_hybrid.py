"""Words beside vectors: evidence, fusion, phrases, and what stays as it was."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import Group, SearchOptions
from polyseek.core.errors import QueryError
from polyseek.core.hits import Hit, Query
from polyseek.core.retriever import SearchMode
from polyseek.core.tuning import Calibration, Origin, Tuning, WordEvidence
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Manifest,
    Modality,
    Role,
    Segment,
    SegmentBatch,
    Span,
    SpanUnit,
)
from polyseek.search.hybrid import add_evidence
from polyseek.search.pipeline import search
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
SCALE = Calibration(intercept=-2.0, slope=4.0, origin=Origin.COLLECTION, match_probability=0.4)


@pytest.fixture
def store():
    """Pictures of one colour each, some with a caption."""
    encoder = FakeEncoder()
    info = encoder.info
    dims = {modality: tower.dim for modality, tower in info.towers.items()}
    manifest = Manifest(
        format_version=1, encoder=info.name, revision=info.revision, dim=info.dim, tower_dims=dims
    )
    made = MemoryStore.create("memory", manifest)
    captions = {
        ("red", 0): None,
        ("blue", 1): "an old windmill by the sea",
        ("blue", 2): "a ferry leaves the old harbour in the rain",
        ("green", 3): None,
    }
    prepare = info.towers[IMAGE].prepare
    segments = [
        Segment(
            asset_uri=f"file:///{i}.x",
            modality=IMAGE,
            metadata={"caption": caption} if caption else {},
        )
        for (_, i), caption in captions.items()
    ]
    pictures = [prepare(Image.new("RGB", (9, 9), colour)) for colour, _ in captions]
    records = [
        AssetRecord(
            uri=each.asset_uri,
            status=AssetStatus.INDEXED,
            modalities=(IMAGE,),
            etag="1",
            size_bytes=1,
        )
        for each in segments
    ]
    rows = encoder.encode(IMAGE, pictures, role=Role.DOCUMENT)
    made.upsert(records, [SegmentBatch(IMAGE, segments, rows)])
    return made


def ask(store, text, **options):
    query = Query(modality=TEXT, signals=[text], label=text)
    return search(query, encoder=FakeEncoder(), store=store, options=SearchOptions(**options))


def names(results):
    return [hit.uri[8:9] for hit in results]


def tuned(store):
    store.save_tuning(Tuning(calibrations={(TEXT, IMAGE): SCALE}))
    return store


@pytest.mark.parametrize("prepare", [tuned, lambda store: store], ids=["tuned", "untuned"])
def test_words_find_what_vectors_do_not(store, prepare):
    found = ask(prepare(store), "red ferry harbour rain", show_all=True)
    assert names(found).index("2") < names(found).index("3")
    assert found.plan[0].words == 1


def test_without_words_in_common_nothing_changes(store):
    tuned(store)
    dense = ask(store, "red zebra", mode=SearchMode.DENSE, show_all=True)
    hybrid = ask(store, "red zebra", show_all=True)
    assert [(h.id, h.probability) for h in hybrid] == [(h.id, h.probability) for h in dense]
    assert hybrid.no_match == dense.no_match
    assert hybrid.nearest == dense.nearest


def test_a_picture_without_a_caption_keeps_its_probability(store):
    tuned(store)
    text = "red ferry harbour rain"
    dense = {h.id: h for h in ask(store, text, mode=SearchMode.DENSE, show_all=True)}
    for hit in ask(store, text, show_all=True):
        if hit.text_score is None:
            assert hit.probability == pytest.approx(dense[hit.id].probability)
        else:
            assert hit.probability >= dense[hit.id].probability


def test_one_stray_word_is_no_evidence(store):
    tuned(store)
    text = "red old castle on a hill with a moat"
    dense = {h.id: h.probability for h in ask(store, text, mode=SearchMode.DENSE, show_all=True)}
    hybrid = {h.id: h.probability for h in ask(store, text, show_all=True)}
    assert hybrid == pytest.approx(dense, abs=0.02)


def test_evidence_multiplies_the_odds_and_fades_with_missing_words():
    hit = Hit(id="1", uri="u", modality=IMAGE, score=0.1)
    score = np.log(4.0) / WordEvidence().weight
    hits = [
        hit,
        replace(hit, text_score=score * 4, text_share=0.5),
        replace(hit, text_score=score, text_share=1.0),
        replace(hit, text_score=0.0, text_share=1.0),
    ]
    after = add_evidence(np.array([0.2, 0.2, 0.2, 1.0]), hits, WordEvidence())
    np.testing.assert_allclose(after, [0.2, 0.5, 0.75, 1.0])


def test_a_text_with_every_word_matches_whatever_it_looks_like(store):
    found = ask(tuned(store), "red ferry harbour", mode=SearchMode.DENSE)
    assert names(found)[0] == "0"
    found = ask(store, "ferry harbour")
    assert names(found)[0] == "2"
    assert found[0].probability > 0.5
    assert not found.no_match


@pytest.mark.parametrize("mode", [SearchMode.HYBRID, SearchMode.TEXT])
def test_phrases_are_demanded_and_exclusions_kept(store, mode):
    assert names(ask(store, '"old harbour"', mode=mode)) == ["2"]
    assert names(ask(store, "old -rain", mode=mode))[0] == "1"
    assert "2" not in names(ask(store, "old -rain", mode=mode, show_all=True))


def test_words_alone_find_only_what_has_them(store):
    found = ask(tuned(store), "an old ferry", mode=SearchMode.TEXT)
    assert names(found) == ["2", "1"]
    assert [hit.probability for hit in found] == [None, None]
    assert ask(store, "zebra", mode=SearchMode.TEXT).no_match
    with pytest.raises(QueryError, match="no probabilities"):
        ask(store, "ferry", mode=SearchMode.TEXT, min_probability=0.5)


class AskedForVectors(MemoryStore):
    """Counts the segments whose vectors it was asked for."""

    read = 0

    def vectors(self, modality, ids, space):
        self.read += len(ids)
        return super().vectors(modality, ids, space)


def recording(store):
    """The same store with a film: its moments are one hit."""
    encoder, uri = FakeEncoder(), "file:///4.x"
    segments = [
        Segment(
            asset_uri=uri,
            modality=IMAGE,
            span=Span(unit=SpanUnit.SECONDS, start=start, end=start + 5),
            metadata={"caption": "old old old"},
        )
        for start in range(0, 100, 10)
    ]
    prepare = encoder.info.towers[IMAGE].prepare
    colours = [prepare(Image.new("RGB", (9, 9), colour)) for colour in ("red", "blue") * 5]
    rows = encoder.encode(IMAGE, colours, role=Role.DOCUMENT)
    record = AssetRecord(
        uri=uri, status=AssetStatus.INDEXED, modalities=(IMAGE,), etag="1", size_bytes=1
    )
    store.upsert([record], [SegmentBatch(IMAGE, segments, rows)])
    store.__class__ = AskedForVectors
    return store


def test_words_alone_give_cosines_to_what_is_shown_and_read_no_others(store):
    store = recording(store)
    found = ask(store, "old blue", mode=SearchMode.TEXT)
    assert names(found) == ["4", "1", "2"]
    blue = ask(store, "blue", mode=SearchMode.DENSE, show_all=True, group=Group.SEGMENT)
    near = {hit.id: hit.score for hit in blue}
    spans = {hit.span: hit.score for hit in blue if hit.span}
    assert [hit.score for hit in found] == pytest.approx([near[hit.id] for hit in found])
    moments = found[0].moments
    assert [m.score for m in moments] == pytest.approx([spans[m.span] for m in moments])
    assert len({round(m.score, 3) for m in moments}) == 2
    before = store.read
    ask(store, "old blue", mode=SearchMode.TEXT)
    assert store.read - before == 3 + len(moments)


def test_rerankers_see_the_cosines_of_what_words_alone_found(store):
    class Watching:
        seen = ()

        def scores(self, question, candidates):
            self.seen = [one.hit.score for one in candidates]
            yield from [0.0] * len(candidates)

    query, watching = Query(modality=TEXT, signals=["old blue"], label="old blue"), Watching()
    search(
        query, encoder=FakeEncoder(), store=recording(store), rerankers={"watching": watching},
        options=SearchOptions(mode=SearchMode.TEXT, limit=1),
    )  # fmt: skip
    assert len(watching.seen) == 3
    assert all(watching.seen[1:])


def test_a_segment_that_went_away_meanwhile_has_no_cosine(store, monkeypatch):
    monkeypatch.setattr(
        MemoryStore, "vectors", lambda self, modality, ids, space: np.full((len(ids), 7), np.nan)
    )
    assert [hit.score for hit in ask(store, "old", mode=SearchMode.TEXT)] == [0, 0]


def test_words_alone_need_a_text(store):
    picture = Query(modality=IMAGE, signals=[Image.new("RGB", (9, 9), "red")], label="red.png")
    options = SearchOptions(mode=SearchMode.TEXT)
    with pytest.raises(QueryError, match="--text"):
        search(picture, encoder=FakeEncoder(), store=store, options=options)
    with pytest.raises(QueryError, match="--text"):
        ask(store, "...", mode=SearchMode.TEXT)


def test_a_document_as_a_query_has_no_words(store):
    page = Query(modality=TEXT, signals=["old ferry", "harbour"], label="page.txt")
    options = SearchOptions(show_all=True)
    found = search(page, encoder=FakeEncoder(), store=store, options=options)
    assert found.plan[0].words is None
    assert all(hit.text_score is None for hit in found)


def test_a_condition_holds_for_words_too(store):
    found = ask(store, "old", filter="caption LIKE '%sea'", mode=SearchMode.TEXT)
    assert names(found) == ["1"]
    assert replace(found[0], rank=1) == found[0]
