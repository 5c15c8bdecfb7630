"""What a search returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, TypeAlias, overload

from polyseek.core.hits import Clip, Hit
from polyseek.core.reports import Coverage
from polyseek.core.tuning import Calibration
from polyseek.core.types import MetadataValue, Modality, Segment, Space, Span, SpanUnit

Preview: TypeAlias = Callable[[Hit], "Clip | None"]
"""Makes a small copy of a hit, or None where there is nothing to look at or listen to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """How one target modality was searched.

    Attributes:
        modality: The segments searched.
        space: Which of their embeddings was compared; None where nothing was.
        tier: What answered, e.g. ``memory-exact`` or ``lance-ann``.
        rows: Segments that were eligible after the filter.
        recall: Recall of the tier against exact search; 1.0 when exact, None if never measured.
        elapsed_ms: Wall time in milliseconds.
        hub_strength: Share of the hub bias that was subtracted from the scores.
        calibration: What turned scores into probabilities; None for none.
        words: Candidates that have words of the query; None where no words were looked for.
        sparse: Candidates that share an index with the query's sparse vector; None without one.
        fusion: How these signals became one ranking, ``probability`` or ``rank``; None for words
            alone.
        refined: Whether the best were looked at twice; None where that is not done at all, as for
            a query of another kind or of several terms.
        adapter: What moved the query, as ``name@strength``; empty for nothing.
    """

    modality: Modality
    space: Space | None
    tier: str
    rows: int
    recall: float | None
    elapsed_ms: float
    hub_strength: float = 0.0
    calibration: Calibration | None = None
    words: int | None = None
    sparse: int | None = None
    fusion: str | None = None
    refined: bool | None = None
    adapter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results(Sequence[Hit]):
    """Ranked hits, what they do not cover, and how they were found.

    Attributes:
        query: The query as shown to people.
        hits: Best first, ranks from 1; most probable first where probabilities are known.
        no_match: Nothing in the collection is probable enough to be what was looked for.
        nearest: Probability of the most probable hit, shown or not; None where not known.
        coverage: Assets searched, failed and still pending.
        plan: One step per target modality.
        timings_ms: Wall time by stage, in milliseconds.
        notes: What did not go as asked, such as a reranker that took too long.
        retriever: Name of the stages that were used.
        preview: Makes a small copy of a hit, for notebooks and contact sheets.
    """

    query: str
    hits: Sequence[Hit]
    coverage: Coverage
    no_match: bool = False
    nearest: float | None = None
    plan: Sequence[PlanStep] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    retriever: str = "default"
    preview: Preview | None = field(default=None, compare=False, repr=False)

    @property
    def browsed(self) -> bool:
        """Whether nothing was looked for, and what passes the filter is listed by path."""
        return bool(self.plan) and all(step.space is None for step in self.plan)

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[index]

    def to_dict(self, *, explain: bool = False) -> dict[str, Any]:
        """JSON-ready form; `explain` adds the plan, and why each hit is there."""
        answer: dict[str, Any] = {
            "query": self.query,
            "no_match": self.no_match,
            "nearest": _rounded(self.nearest),
            "hits": [hit_dict(hit) for hit in self.hits],
            "coverage": {
                "searched": self.coverage.searched,
                "failed": self.coverage.failed,
                "pending": self.coverage.pending,
            },
            "notes": list(self.notes),
            "timings_ms": {stage: round(ms, 3) for stage, ms in self.timings_ms.items()},
        }
        if explain:
            for shown, hit in zip(answer["hits"], self.hits, strict=True):
                shown.update(_evidence(hit))
            answer["retriever"] = self.retriever
            answer["plan"] = [_step_dict(step) for step in self.plan]
        return answer

    def __str__(self) -> str:
        found = "nothing found" if self.no_match else f"{len(self.hits)} hits"
        lines = [f"{found} for {self.query!r}" if self.query else found]
        for hit in self.hits:
            words = f"  {' '.join((hit.text or '').split())[:60]}" if hit.text else ""
            lines.append(f"{hit.rank:>3}  {hit.figure()}  {hit.modality:<5}  {hit.uri}{words}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from polyseek.search.sheet import fragment

        return fragment(self)


def segment_dict(segment: Segment) -> dict[str, Any]:
    """JSON-ready form of a segment."""
    return {
        "id": segment.id,
        "modality": str(segment.modality),
        "span": _span_dict(segment.span),
        "text": segment.text,
        "metadata": {key: _plain(value) for key, value in segment.metadata.items()},
    }


def hit_dict(hit: Hit) -> dict[str, Any]:
    """JSON-ready form of a hit."""
    return {
        "rank": hit.rank,
        "id": hit.id,
        "uri": hit.uri,
        "modality": str(hit.modality),
        "probability": _rounded(hit.probability),
        "score": round(float(hit.score), 6),
        "hub_bias": _rounded(hit.hub_bias),
        "text_score": _rounded(hit.text_score),
        "text_share": _rounded(hit.text_share),
        "sparse_score": _rounded(hit.sparse_score),
        "span": _span_dict(hit.span),
        "text": hit.text,
        "moments": [
            {
                "modality": str(moment.modality),
                "probability": _rounded(moment.probability),
                "score": round(float(moment.score), 6),
                "span": _span_dict(moment.span),
            }
            for moment in hit.moments
        ],
        "duplicates": [
            {"id": one.id, "uri": one.uri, "similarity": round(one.similarity, 6)}
            for one in hit.duplicates
        ],
        "metadata": {key: _plain(value) for key, value in hit.metadata.items()},
    }


def _evidence(hit: Hit) -> dict[str, Any]:
    """Ranks after each stage, and what was found out about why the hit is there."""
    found: dict[str, Any] = {"ranks": dict(hit.ranks)}
    if hit.evidence:
        found["terms"] = [
            {
                "term": one.term,
                "weight": one.weight,
                "score": round(one.score, 6),
                "probability": _rounded(one.probability),
            }
            for one in hit.evidence
        ]
    if hit.account:
        found["words"] = list(hit.account.words)
        found["sentence"] = hit.account.sentence
        found["rank_without"] = dict(hit.account.without)
        found["curve"] = [
            {"start_s": start, "end_s": end, "value": round(value, 6)}
            for start, end, value in hit.account.curve
        ]
        found["where"] = [[round(v, 4) for v in row] for row in hit.account.where]
    return found


def _span_dict(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    start, end = (int(v) if float(v).is_integer() else v for v in (span.start, span.end))
    if span.unit is SpanUnit.SECONDS:
        return {"unit": "seconds", "start_s": start, "end_s": end}
    return {"unit": str(span.unit), "start": start, "end": end}


def _step_dict(step: PlanStep) -> dict[str, Any]:
    return {
        "modality": str(step.modality),
        "space": None if step.space is None else str(step.space),
        "tier": step.tier,
        "rows": step.rows,
        "words": step.words,
        "sparse": step.sparse,
        "fusion": step.fusion,
        "refined": step.refined,
        "adapter": step.adapter or None,
        "recall": step.recall,
        "hub_strength": step.hub_strength,
        "calibration": str(step.calibration.origin) if step.calibration else None,
        "match_probability": step.calibration.match_probability if step.calibration else None,
        "elapsed_ms": round(step.elapsed_ms, 3),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _plain(value: MetadataValue) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no infinity
    return value.isoformat() if isinstance(value, datetime) else value
