"""What a collection leaves out, and whether what was fitted to it still fits."""

from __future__ import annotations

import numpy as np

from polyseek.core.protocols import AgedStore, StoreReader
from polyseek.core.tuning import outgrown
from polyseek.core.types import AssetStatus, Floats, Modality, Role
from polyseek.evaluate.diagnosis import Check, Figure, Verdict
from polyseek.evaluate.probes import probes_of
from polyseek.evaluate.subject import Subject, name_of, some

TUNABLE_ROWS = 50
MOSTLY_UNREAD = 0.5
CROWDED_BANK = 0.4
"""How far, from the mean cosine of unrelated English texts to 1, that of a bank may lie: for `mini`
it is .0 for the shipped bank, .2 for German queries, .5 for Russian and Chinese ones."""

_BANK_SAMPLE = 500
_EXAMPLES = 5


def check_coverage(store: StoreReader) -> Check:
    """Which assets a search cannot see, and why."""
    counts = dict.fromkeys(AssetStatus, 0)
    for (status, _), n in store.counts().items():
        counts[status] += n
    unread = {s: counts[s] for s in (AssetStatus.FAILED, AssetStatus.PENDING, AssetStatus.PARTIAL)}
    searched = counts[AssetStatus.INDEXED] + counts[AssetStatus.PARTIAL]
    missing = counts[AssetStatus.FAILED] + counts[AssetStatus.PENDING]
    figures: dict[str, Figure] = {str(status): n for status, n in counts.items()}
    if not sum(counts.values()):
        return Check(
            name="coverage",
            verdict=Verdict.WARNING,
            summary="the collection is empty",
            figures=figures,
            advice="polyseek index FOLDER",
        )
    problems = [record for record in store.records() if unread.get(record.status)]
    notes = [
        f"{record.status}: {name_of(record.uri)}: {record.reason or 'not read yet'}"
        for record in problems[:_EXAMPLES]
    ]
    if len(problems) > _EXAMPLES:
        notes.append(f"and {len(problems) - _EXAMPLES:,} more (polyseek status)")
    if counts[AssetStatus.UNSUPPORTED]:
        notes.append(f"{counts[AssetStatus.UNSUPPORTED]:,} files of formats that are not read")
    said = ", ".join(f"{n:,} {status}" for status, n in unread.items() if n)
    mostly = missing > MOSTLY_UNREAD * (searched + missing)
    return Check(
        name="coverage",
        verdict=Verdict.FAILURE if mostly else Verdict.WARNING if problems else Verdict.OK,
        summary=f"{searched:,} assets are searched" + (f"; {said}" if said else ", none missing"),
        notes=notes,
        figures=figures,
        advice="" if not problems else "polyseek status lists every file with its reason; index "
        "again to finish what is pending",
    )  # fmt: skip


def check_age(store: StoreReader) -> Check:
    """Whether an older polyseek made the collection, and what it has not got since."""
    lacking = store.lacks() if isinstance(store, AgedStore) else ()
    return Check(
        name="age",
        verdict=Verdict.WARNING if lacking else Verdict.OK,
        summary="made by an older polyseek: it lacks what collections have today"
        if lacking
        else "has everything that collections of this polyseek have",
        notes=list(lacking),
        figures={"lacks": [told.partition(":")[0] for told in lacking]},
        advice="polyseek index SOURCE, with the sources it was made of: that adds it, and reads no "
        "file that has not changed"
        if lacking
        else "",
    )


def check_tuning(subject: Subject) -> Check:
    """Calibrations, hub biases and their age."""
    if not subject.encoder.info.towers:
        return Check(
            name="tuning",
            verdict=Verdict.OK,
            summary="nothing to tune: queries come as vectors or words, so lists merge by rank",
        )
    tuning = subject.store.tuning
    missing = _uncalibrated(subject)
    unbiased = _unbiased(subject)
    grown = (
        {
            str(modality): sizes
            for modality, sizes in outgrown(tuning, subject.store.counts()).items()
            if sizes[1] >= TUNABLE_ROWS
        }
        if tuning
        else {}
    )
    large = any(n >= TUNABLE_ROWS for m, n in subject.rows.items() if m is not Modality.AUDIO)
    notes = [f"{name}: no calibration, so mixed lists take turns" for name in missing]
    notes += [f"{name}: {n:,} segments without a hub bias" for name, n in unbiased.items()]
    notes += [
        f"{name}: {before:,} assets when it was tuned, {now:,} now"
        for name, (before, now) in grown.items()
    ]
    stale = subject.adapters.moved_since(tuning.adapted) if tuning else []
    notes += [
        f"{query} -> {target}: tuned when an adapter had moved such queries elsewhere"
        for query, target in stale
    ]
    if tuning is None and large:
        notes.append("never tuned: what ships with the encoder is in use")
    elif tuning is None:
        notes.append("never tuned, and too small for it to help")
    found = bool(missing or unbiased or grown or stale or (tuning is None and large))
    return Check(
        name="tuning",
        verdict=Verdict.WARNING if found and subject.samples else Verdict.OK,
        summary="probabilities or hub corrections are missing or out of date"
        if found and subject.samples
        else "probabilities and hub corrections fit the collection"
        if subject.samples
        else "nothing to tune",
        notes=notes,
        figures={
            "tuned": tuning is not None,
            "own_calibrations": len(tuning.calibrations) if tuning else 0,
            "pairs_without_calibration": missing,
            "segments_without_hub_bias": dict(unbiased),
            "assets_when_tuned": {str(m): n for m, n in tuning.fitted_assets.items()}
            if tuning
            else {},
        },
        advice="polyseek tune" if found and subject.samples else "",
    )


def check_bank(subject: Subject) -> Check:
    """Whether the encoder tells the bank's queries apart: it may be in another language."""
    if subject.bank is None or len(subject.bank) < 2:
        return Check(
            name="bank", verdict=Verdict.OK, summary="there is no bank of queries to look at"
        )
    rows = some(subject.bank, _BANK_SAMPLE)
    means = {"shared": mean_cosine(rows.shared), "tower": mean_cosine(rows.tower)}
    texts = list(probes_of(Modality.TEXT))
    probes = mean_cosine(subject.embed(Modality.TEXT, texts, role=Role.QUERY).tower)
    collapsed = means["tower"] > probes + CROWDED_BANK * (1 - probes)
    return Check(
        name="bank",
        verdict=Verdict.WARNING if collapsed else Verdict.OK,
        summary="the encoder puts all queries of the bank into one place"
        if collapsed
        else f"{len(subject.bank):,} queries, which the encoder tells apart",
        notes=[
            f"two queries of the bank have a mean cosine of {means['tower']:.2f} (probes in "
            f"English: {probes:.2f}), in the shared space of {means['shared']:.2f}"
        ],
        figures={
            "queries": len(subject.bank),
            "own": bool(subject.store.tuning and subject.store.tuning.bank),
            "mean_cosine": round(means["tower"], 4),
            "mean_cosine_shared": round(means["shared"], 4),
            "mean_cosine_of_probes": round(probes, 4),
        },
        advice="write the bank in a language that the encoder reads, or tune without --bank"
        if collapsed
        else "",
    )


def mean_cosine(rows: Floats) -> float:
    """Of two different rows."""
    n = len(rows)
    total = np.nan_to_num(rows).astype(np.float64).sum(axis=0)
    return float((total @ total - n) / (n * (n - 1)))


def _uncalibrated(subject: Subject) -> list[str]:
    return [
        f"{query} -> {target}"
        for query in Modality
        if query in subject.encoder.info.towers
        for target in subject.samples
        if subject.scale.calibration((query, target)) is None
    ]


def _unbiased(subject: Subject) -> dict[str, int]:
    """Segments of the sample that lack a hub bias which searches ask for, by pair."""
    found = {}
    for target, batch in subject.samples.items():
        for query in Modality:
            if subject.scale.hub((query, target)) is None:
                continue
            known = batch.hub_bias.get(query)
            lacking = len(batch) if known is None else int(np.isnan(known).sum())
            if lacking:
                found[f"{query} -> {target}"] = lacking
    return found
