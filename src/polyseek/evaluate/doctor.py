"""The doctor: every check of a collection, in order."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from polyseek.core.adapting import Adapters
from polyseek.core.protocols import Encoder, ScoreScale, StoreReader
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.types import Embeddings, exactly
from polyseek.evaluate.diagnosis import Check, Diagnosis
from polyseek.evaluate.gap import check_gap
from polyseek.evaluate.hubness import check_hubs
from polyseek.evaluate.recall import check_recall
from polyseek.evaluate.state import check_age, check_bank, check_coverage, check_tuning
from polyseek.evaluate.stored import check_stored
from polyseek.evaluate.subject import Read, Subject
from polyseek.evaluate.towers import check_towers
from polyseek.evaluate.vectors import check_duplicates, check_norms, check_spread


def diagnose(
    store: StoreReader,
    *,
    location: str,
    encoder: Encoder,
    scale: ScoreScale,
    bank: Embeddings | None,
    adapters: Adapters | None = None,
    read: Read | None = None,
    progress: ProgressCallback | None = None,
) -> Diagnosis:
    """Look at a collection; nothing is changed.

    Args:
        store: Its rows.
        location: How to call it.
        encoder: Its encoder, which is tried on probes.
        scale: How a search makes scores comparable.
        bank: Text queries like those people ask, embedded; None when the encoder reads no text.
        adapters: That move queries; None for none.
        read: What the file at a uri holds; None where it cannot be read any more.
        progress: Called with every check.

    Raises:
        EncoderError: The encoder cannot be loaded.
        StoreError: The collection cannot be read.
    """
    started = perf_counter()
    subject = Subject.of(
        store, encoder=encoder, scale=scale, bank=bank, adapters=adapters, read=read
    )
    found = []
    for done, (label, check) in enumerate(_CHECKS):
        if progress:
            progress(Progress(stage="doctor", done=done, total=len(_CHECKS), label=label))
        found.append(check(subject))
    return Diagnosis(
        location=location,
        encoder=exactly(encoder.info.name, encoder.info.revision),
        checks=tuple(found),
        elapsed_s=perf_counter() - started,
    )


_CHECKS: tuple[tuple[str, Callable[[Subject], Check]], ...] = (
    ("assets", lambda subject: check_coverage(subject.store)),
    ("age", lambda subject: check_age(subject.store)),
    ("towers", check_towers),
    ("stored vectors", check_stored),
    ("norms", check_norms),
    ("spread", check_spread),
    ("copies", check_duplicates),
    ("modality gap", check_gap),
    ("hubs", check_hubs),
    ("recall", check_recall),
    ("tuning", check_tuning),
    ("bank", check_bank),
)
