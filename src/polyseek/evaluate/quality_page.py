"""A run as one HTML page that needs no other file: figures, plots, the worst questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from polyseek.core.hits import Hit
from polyseek.core.types import Modality
from polyseek.evaluate.charts import svg
from polyseek.evaluate.compare import Comparison
from polyseek.evaluate.diagnosis import Chart, Figure
from polyseek.evaluate.outcomes import DEPTH, METRICS, Outcome
from polyseek.evaluate.report import clean, frame, table
from polyseek.evaluate.runs import MEDIAN, Measured, Run
from polyseek.evaluate.runs import Figure as Estimate
from polyseek.evaluate.subject import name_of


class Element(Protocol):
    """Something to look at or listen to, such as a `core.hits.Clip`."""

    def html(self) -> str:
        """The element."""
        ...


Preview: TypeAlias = "Callable[[Hit], Element | None]"

WORST = 10
MAX_CHARS = 200
"""Of a text that is shown."""

_BINS = (("first", 1), ("2-5", 5), ("6-10", 10), (f"11-{DEPTH}", DEPTH))
_SHOWN = ("R@1", "R@10", "nDCG@10")
_FACTS: Mapping[str, Callable[[Measured], str]] = {
    "finds something": lambda one: f"{one.answered:.0%}",
    "queries": lambda one: f"{len(one.outcomes):,} about {one.groups:,} assets",
    "searched": lambda one: f"{one.searched:,} by {one.mode}",
    "from": lambda one: one.source,
}


def page(run: Run, *, preview: Preview | None = None, comparison: Comparison | None = None) -> str:
    """The figures on top, then a card per direction.

    Args:
        run: What was measured.
        preview: Makes small copies of hits; None for names alone.
        comparison: With another run, where there is one.
    """
    spent = ", ".join(f"{stage} {s:.1f} s" for stage, s in run.elapsed_s.items())
    notes = "".join(f"<li>{clean(note)}</li>" for note in run.notes)
    overview = Chart(
        title="Questions with a right answer among the first",
        labels=[one.name for one in run.directions],
        series={
            name: [one.figures()[name].value for one in run.directions]
            for name in ("R@1", "R@5", "R@10")
        },
    )
    cards = "".join(_card(one, preview) for one in run.directions)
    return frame(
        f"polyseek eval: {run.location}",
        f"<h1>{clean(run.location)}</h1><p><small>encoder {clean(run.encoder)}; "
        f"{clean(spent)}</small></p><section>{_figures(run)}{svg(overview)}"
        f"<p><small>95 % intervals, resampled by asset; ties count against the search.</small></p>"
        f"{f'<ul>{notes}</ul>' if notes else ''}</section>"
        f"{_compared(comparison) if comparison else ''}{cards}",
    )


def estimate(name: str, figure: Estimate) -> str:
    """As people read it, in percent but for ranks: ``47.1 (43.7-50.7)``."""
    values = figure.value, figure.interval.low, figure.interval.high
    shown = [_rank(v) if name == MEDIAN else f"{100 * v:.1f}" for v in values]
    return f"{shown[0]} ({shown[1]}-{shown[2]})"


def _rank(value: float) -> str:
    return f">{DEPTH}" if value > DEPTH else f"{value:g}"


def _figures(run: Run) -> str:
    """One column per direction: figures are many, directions few."""
    figures = {one.name: one.figures() for one in run.directions}
    rows: list[Mapping[str, Figure]] = [
        {"": name, **{one: estimate(name, found[name]) for one, found in figures.items()}}
        for name in (*METRICS, MEDIAN)
    ]
    for label, value in _FACTS.items():
        rows.append({"": label, **{one.name: value(one) for one in run.directions}})
    return table(rows)


def _card(one: Measured, preview: Preview | None) -> str:
    ranks = [outcome.rank for outcome in one.outcomes]
    shares, below = [], 0
    for _, most in _BINS:
        within = sum(rank <= most for rank in ranks)
        shares.append((within - below) / len(ranks))
        below = within
    places = Chart(
        title="Place of the first right answer, share of the queries",
        labels=[name for name, _ in _BINS] + ["not found"],
        series={"queries": [*shares, 1 - sum(shares)]},
    )
    parts = one.slices()
    slices = "".join(
        svg(
            Chart(
                title=f"By {name}",
                labels=[part.value for part in parts if part.name == name],
                series={
                    metric: [p.figures[metric].value for p in parts if p.name == name]
                    for metric in ("R@1", "R@10")
                },
            )
        )
        for name in dict.fromkeys(part.name for part in parts)
    )
    rows: list[Mapping[str, Figure]] = [
        {
            "": f"{part.name}: {part.value}",
            "queries": part.questions,
            **{name: estimate(name, part.figures[name]) for name in _SHOWN},
        }
        for part in parts
    ]
    worst = "".join(_worst(outcome, one.name, preview) for outcome in one.worst(WORST))
    return (
        f"<section><h2>{clean(one.name)}</h2><p><small>{clean(one.source)}</small></p>"
        f"{svg(places)}{slices}{table(rows) if rows else ''}"
        f"{f'<h2>Furthest down</h2>{worst}' if worst else ''}</section>"
    )


def _worst(outcome: Outcome, direction: str, preview: Preview | None) -> str:
    """A question, a right answer, and what was found instead."""
    asked, _, target = direction.partition(" -> ")
    place = "not found" if outcome.rank > DEPTH else f"at {outcome.rank:g}"
    shown = []
    if asked != Modality.TEXT:
        shown.append(_thing(_hit(outcome.id, asked), "query", preview))
    shown.append(_thing(_hit(outcome.expected, target), f"right, {place}", preview, right=True))
    hits = outcome.hits or [_hit(uri, target) for uri in outcome.found]
    for number, (hit, name) in enumerate(zip(hits, outcome.found, strict=True), 1):
        words = hit.text if hit.modality is Modality.TEXT else None
        shown.append(_thing(hit, f"{number}.", preview, text=(words or name)[:MAX_CHARS]))
    return f"<h3>{clean(outcome.label)}</h3><div class=worst>{''.join(shown)}</div>"


def _hit(uri: str, modality: str) -> Hit:
    known = Modality(modality) if modality in set(Modality) else Modality.IMAGE
    return Hit(id="", uri=uri, modality=known, score=0.0)


def _thing(
    hit: Hit, caption: str, preview: Preview | None, *, text: str | None = None, right: bool = False
) -> str:
    clip = preview(hit) if preview else None
    said = text or hit.uri
    name = name_of(said) if "://" in said else said
    below = f"<figcaption>{clean(caption)} {clean(name)}</figcaption>"
    kind = " class=right" if right else ""
    return f"<figure{kind}>{clip.html() if clip else ''}{below}</figure>"


def _compared(comparison: Comparison) -> str:
    rows: list[Mapping[str, Figure]] = [
        {
            "direction": one.direction,
            "figure": one.metric,
            "before": f"{100 * one.before:.1f}",
            "after": f"{100 * one.after:.1f}",
            "p": f"{one.p_value:.4f}",
            "": ("worse" if one.dropped else "better") if one.significant else "no difference",
        }
        for one in comparison.differences
    ]
    notes = "".join(f"<li>{clean(note)}</li>" for note in comparison.notes)
    return f"<section><h2>Against the base</h2>{table(rows)}<ul>{notes}</ul></section>"
