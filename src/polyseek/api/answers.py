"""A server's JSON as the values it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyseek.api.status import Status
from polyseek.core.hits import Duplicate, Hit, Moment, TermEvidence
from polyseek.core.reports import Coverage, Failure
from polyseek.core.types import AssetStatus, Modality, Space, Span, SpanUnit
from polyseek.search.results import PlanStep, Preview, Results


def results_of(answer: Mapping[str, Any], *, base: str, preview: Preview) -> Results:
    """The results that a server told.

    Args:
        answer: Of a search that was asked to explain.
        base: URL of the server, for uris that are paths there.
        preview: Passed on to the results.
    """
    return Results(
        query=answer["query"],
        hits=tuple(_hit(one, base) for one in answer["hits"]),
        coverage=Coverage(**answer["coverage"]),
        no_match=answer["no_match"],
        nearest=answer["nearest"],
        plan=tuple(map(_step, answer["plan"])),
        timings_ms=answer["timings_ms"],
        notes=tuple(answer["notes"]),
        retriever=answer["retriever"],
        preview=preview,
    )


def status_of(answer: Mapping[str, Any], location: str) -> Status:
    """The status that a server told."""
    return Status(
        location=location,
        encoder=answer["encoder"],
        assets={AssetStatus(name): count for name, count in answer["assets"].items()},
        modalities={Modality(name): count for name, count in answer["modalities"].items()},
        failures=[
            Failure(uri=one["uri"], status=AssetStatus(one["status"]), reason=one["reason"])
            for one in answer["failures"]
        ],
        joined={Modality(name): by for name, by in answer["joined"].items()},
        notes=answer["notes"],
    )


def _hit(told: Mapping[str, Any], base: str) -> Hit:
    return Hit(
        id=told["id"],
        uri=_uri(told, base),
        modality=Modality(told["modality"]),
        score=told["score"],
        probability=told["probability"],
        hub_bias=told["hub_bias"],
        text_score=told["text_score"],
        text_share=told["text_share"],
        sparse_score=told["sparse_score"],
        rank=told["rank"],
        span=_span(told["span"]),
        text=told["text"],
        metadata=told["metadata"],
        moments=tuple(map(_moment, told["moments"])),
        duplicates=tuple(
            Duplicate(id=one["id"], uri=_uri(one, base), similarity=one["similarity"])
            for one in told["duplicates"]
        ),
        ranks=tuple(told["ranks"].items()),
        evidence=tuple(TermEvidence(**one) for one in told.get("terms", ())),
    )


def _uri(told: Mapping[str, Any], base: str) -> str:
    uri: str = told["uri"]
    return base + uri if uri.startswith("/") else uri


def _moment(told: Mapping[str, Any]) -> Moment:
    return Moment(
        modality=Modality(told["modality"]),
        score=told["score"],
        span=_span(told["span"]),
        probability=told["probability"],
    )


def _span(told: Mapping[str, Any] | None) -> Span | None:
    if told is None:
        return None
    unit = SpanUnit(told["unit"])
    start, end = ("start_s", "end_s") if unit is SpanUnit.SECONDS else ("start", "end")
    return Span(unit=unit, start=told[start], end=told[end])


def _step(told: Mapping[str, Any]) -> PlanStep:
    """Without the calibration's numbers, which are the server's own business."""
    return PlanStep(
        modality=Modality(told["modality"]),
        space=None if told["space"] is None else Space(told["space"]),
        tier=told["tier"],
        rows=told["rows"],
        recall=told["recall"],
        elapsed_ms=told["elapsed_ms"],
        hub_strength=told["hub_strength"],
        words=told["words"],
        sparse=told["sparse"],
        fusion=told["fusion"],
        refined=told.get("refined"),
        adapter=told.get("adapter") or "",
    )
