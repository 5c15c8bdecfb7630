"""Segments of one asset become one hit, with its best places."""

from polyseek.core.hits import Hit
from polyseek.core.types import Modality, Span, SpanUnit
from polyseek.search.group import MAX_MOMENTS, by_asset


def hit(uri, start=None, end=None, *, unit=SpanUnit.SECONDS, modality=Modality.AUDIO, score=0.5):
    span = None if start is None else Span(unit=unit, start=start, end=end)
    key = f"{uri} {modality} {span and span.key()}"
    return Hit(id=key, uri=uri, modality=modality, score=score, span=span)


def shown(hits):
    return [
        (h.rank, h.uri, h.span and h.span.start, [m.span.start for m in h.moments]) for h in hits
    ]


def test_the_best_moment_stands_for_its_asset_and_the_others_follow():
    hits = [hit("a", 30, 40), hit("b", 0, 5), hit("a", 10, 20), hit("c"), hit("a", 90, 100)]
    assert shown(by_asset(hits, limit=10)) == [
        (1, "a", 30, [10, 90]),
        (2, "b", 0, []),
        (3, "c", None, []),
    ]


def test_of_two_windows_that_overlap_more_than_half_the_better_one_counts():
    hits = [hit("a", 10, 20), hit("a", 12, 22), hit("a", 15, 25), hit("a", 17, 27)]
    assert shown(by_asset(hits, limit=1)) == [(1, "a", 10, [15])]


def test_the_limit_counts_assets_and_moments_below_it_still_come_in():
    hits = [hit("a", 0, 10), hit("b", 0, 10), hit("c", 0, 10), hit("a", 50, 60)]
    assert shown(by_asset(hits, limit=2)) == [(1, "a", 0, [50]), (2, "b", 0, [])]


def test_there_are_only_a_few_moments():
    hits = [hit("a", 20 * i, 20 * i + 10) for i in range(20)]
    assert len(by_asset(hits, limit=1)[0].moments) == MAX_MOMENTS


def test_rows_of_a_table_are_items_of_their_own():
    hits = [hit("t.csv", row, row + 1, unit=SpanUnit.ROW) for row in (7, 2, 9)]
    assert [h.span.start for h in by_asset(hits, limit=2)] == [7, 2]


def test_the_sound_and_the_picture_of_a_video_are_one_hit():
    hits = [hit("v.mp4", 0, 8, modality=Modality.VIDEO), hit("v.mp4", 30, 40, score=0.2)]
    (found,) = by_asset(hits, limit=5)
    assert found.modality is Modality.VIDEO
    assert [(m.modality, m.score) for m in found.moments] == [(Modality.AUDIO, 0.2)]


def test_nothing_in_nothing_out():
    assert by_asset([], limit=3) == []
