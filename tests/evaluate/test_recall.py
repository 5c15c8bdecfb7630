"""Recall of the tier in use against exact search."""

from dataclasses import replace

import pytest
from patients import IMAGE, TEXT, bank_of, calibration, cloud, store_of, subject_of, with_tuning

from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.recall import check_recall, recall
from polyseek.store.memory import MemoryStore

BANK = bank_of(cloud(40, at=2, seed=5))


class Forgetful:
    """A store whose searches leave out every second of the best hits of far-away queries."""

    def __init__(self, store, *, measured=None):
        self._store, self._measured = store, measured

    def __getattr__(self, name):
        return getattr(self._store, name)

    def search(self, request):
        deep = replace(request, limit=2 * request.limit)
        found = self._store.search(deep)
        step = 2 if request.vector[0] > 0.7 else 1
        return replace(
            found,
            hits=found.hits[::step][: request.limit],
            tier="lossy",
            recall=self._measured,
        )


def made():
    return store_of(
        {IMAGE: cloud(80, at=-0.5), TEXT: cloud(30, at=-0.5, seed=1)},
        hub_bias={IMAGE: cloud(80, seed=9)[:, 0]},
    )


def test_exact_search_has_full_recall_also_with_a_hub_correction():
    store = with_tuning(made(), text_image=calibration(hub_strength=0.75))
    found = check_recall(subject_of(store, bank=BANK))
    assert found.verdict is Verdict.OK
    assert set(found.figures) == {"text-text", "text-image", "image-text", "image-image"}
    assert all(f["recall_at_10"] == 1 for f in found.figures.values())
    assert "memory-exact" in found.summary


def test_recall_that_is_lost_on_text_queries_only_is_found():
    found = check_recall(subject_of(Forgetful(made()), bank=BANK))
    assert found.verdict is Verdict.FAILURE
    assert found.figures["text-image"]["recall_at_10"] < 0.8
    assert found.figures["image-image"]["recall_at_10"] == 1
    assert any("text -> image" in note for note in found.notes)
    assert found.advice


def test_what_the_store_measured_counts_too():
    found = check_recall(subject_of(Forgetful(made(), measured=0.9), bank=None))
    assert found.verdict is Verdict.WARNING
    assert found.figures["image-image"]["store_recall"] == 0.9


def test_from_a_sample_recall_is_estimated(monkeypatch):
    monkeypatch.setattr("polyseek.evaluate.subject.SAMPLE", 40)
    assert recall(subject_of(made(), bank=BANK), (TEXT, IMAGE)).at_10 == 1
    subject = subject_of(Forgetful(made()), bank=BANK)
    assert recall(subject, (TEXT, IMAGE)).at_10 < 0.9
    assert "estimated" in check_recall(subject).notes[-1]


@pytest.mark.parametrize("vectors", [{}, {IMAGE: cloud(3)}])
def test_tiny_collections_do_not_crash(vectors):
    found = check_recall(subject_of(store_of(vectors), bank=BANK))
    assert found.verdict is Verdict.OK
    assert isinstance(store_of(vectors), MemoryStore)
