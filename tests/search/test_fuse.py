from polyseek.core.hits import Hit
from polyseek.core.types import Modality
from polyseek.search.fuse import reciprocal_rank


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
