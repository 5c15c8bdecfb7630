from polyseek.core.hits import Hit
from polyseek.core.types import Modality
from polyseek.search.fuse import reciprocal_rank, reciprocal_rank_of_some


def ranking(modality, *names):
    return [
        Hit(id=n, uri=f"file:///{n}", modality=modality, score=1 - i / 10, rank=i + 1)
        for i, n in enumerate(names)
    ]


def test_one_list_keeps_its_order_and_scores():
    hits = reciprocal_rank([ranking(Modality.IMAGE, "a", "b", "c")], limit=2)
    assert [(h.id, h.rank, h.score) for h in hits] == [("a", 1, 1.0), ("b", 2, 0.9)]


def test_disjoint_lists_take_turns_whatever_their_scores():
    images, texts = ranking(Modality.IMAGE, "i1", "i2"), ranking(Modality.TEXT, "t1", "t2", "t3")
    assert [h.id for h in reciprocal_rank([images, texts], limit=9)] == [
        "i1",
        "t1",
        "i2",
        "t2",
        "t3",
    ]


def test_an_item_in_both_lists_wins():
    dense = ranking(Modality.TEXT, "a", "both")
    lexical = ranking(Modality.TEXT, "b", "both")
    assert reciprocal_rank([dense, lexical], limit=1)[0].id == "both"


def test_nothing_in_nothing_out():
    assert reciprocal_rank([], limit=5) == []
    assert reciprocal_rank([[], []], limit=5) == []


def test_what_a_ranking_does_not_know_is_missing_from_it_not_last_in_it():
    a, b, c, d = ranking(Modality.IMAGE, *"abcd")
    found = reciprocal_rank_of_some([a, b, c, d], [c, d])
    assert [(h.id, h.rank) for h in found] == [("a", 1), ("c", 2), ("b", 3), ("d", 4)]
    assert reciprocal_rank([[a, b, c, d], [c, d]])[0].id == "c"  # buries what has no words
    assert reciprocal_rank_of_some([], []) == []
