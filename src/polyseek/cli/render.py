"""Answers as people read them in a terminal."""

from __future__ import annotations

import os
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from polyseek.api import Status
from polyseek.core.hits import Hit
from polyseek.core.objects import BUCKETS, scheme_of, split_uri
from polyseek.core.reports import Failure, IngestReport
from polyseek.core.tuning import Calibration, Tuning
from polyseek.core.types import AssetStatus, Modality
from polyseek.search.results import PlanStep, Results

SHOWN_FAILURES = 10
UNWRAPPED = 100_000
THUMBNAIL_COLUMNS, THUMBNAIL_ROWS = 12, 5


def report(done: IngestReport, *, location: str) -> None:
    """Print what an ingest run did."""
    console = _console()
    counts = {
        "added": done.added,
        "updated": done.updated,
        "moved": done.moved,
        "unchanged": done.skipped,
        "removed": done.deleted,
    }
    nothing = "nothing finished" if done.interrupted else "nothing to do"
    parts = ", ".join(f"{n:,} {word}" for word, n in counts.items() if n) or nothing
    console.print(f"{escape(location)}: {parts} ({done.elapsed_s:.1f} s)")
    if done.failures:
        _failures(console, done.failures)
    if done.interrupted:
        console.print("Stopped early. Run the same command again to go on from here.")


def report_dict(done: IngestReport) -> dict[str, Any]:
    """JSON-ready form of an ingest report."""
    return {**asdict(done), "elapsed_s": round(done.elapsed_s, 3)}


def results(found: Results, *, explain: bool) -> None:
    """Print hits as a table, with thumbnails where the terminal shows 24-bit colour."""
    console = _console()
    pictures = console.is_terminal and console.color_system == "truecolor"
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    if not found.browsed:
        rated = any(h.probability is not None for h in found)
        table.add_column("p" if rated else "score", justify="right")
    table.add_column("modality")
    if pictures:
        table.add_column("", width=THUMBNAIL_COLUMNS)
    table.add_column("where", overflow="fold", ratio=1)
    for hit in found:
        figure = [] if found.browsed else [hit.figure()]
        cells: list[str | Text] = [str(hit.rank), *figure, hit.modality]
        if pictures:
            cells.append(_thumbnail(found, hit))
        table.add_row(*cells, _where(hit))
    if found.no_match:
        console.print(_verdict(found))
    if found.hits:
        console.print(table)
    for note in found.notes:
        console.print(Text(f"Note: {note}"))
    missing = [
        f"{n:,} {word}"
        for n, word in ((found.coverage.failed, "failed"), (found.coverage.pending, "pending"))
        if n
    ]
    if missing:
        console.print(f"Not searched: {', '.join(missing)} (polyseek status)", style="dim")
    if explain:
        _explain(console, found)


def tuning(found: Tuning, *, location: str) -> None:
    """Print what `polyseek tune` found."""
    console = Console(highlight=False)
    console.print(f"{escape(location)}: {len(found.calibrations)} pairs of modalities fitted")
    for note in found.notes:
        console.print(f"  {escape(note)}")
    if not found.notes:
        console.print("  nothing to fit: no texts, pictures or videos")


def _verdict(found: Results) -> str:
    if not any(step.rows for step in found.plan):
        return "Nothing found: nothing in the collection passes the modality and the filter."
    if found.hits:
        return "Nothing found. The nearest, which are probably not what you look for:"
    if found.nearest is None:
        return "Nothing found (--all shows the nearest)."
    nearest = f"only {found.nearest:.0%}" if found.nearest >= 0.005 else "less than 1%"
    return f"Nothing found. The nearest is {nearest} probable (--all shows it)."


def paths(found: Results) -> None:
    """Print one path (or uri) per line, each once, best first."""
    out = os.fsencode("".join(f"{where}\n" for where in dict.fromkeys(map(_raw_path, found))))
    import sys

    sys.stdout.flush()
    sys.stdout.buffer.write(out)


def status(found: Status) -> None:
    """Print what a collection holds."""
    console = _console()
    console.print(f"{escape(found.location)}  (encoder {escape(found.encoder)})")
    for modality, count in found.modalities.items():
        console.print(f"  {count:>9,} {modality}")
    for status_ in (AssetStatus.PENDING, AssetStatus.UNSUPPORTED, AssetStatus.FAILED):
        if found.assets.get(status_):
            console.print(f"  {found.assets[status_]:>9,} {status_}")
    for modality, name in found.joined.items():
        console.print(Text(f"{modality} is joined by {name} ('polyseek adapters')"))
    for note in found.notes:
        console.print(Text(note, style="yellow"))
    for failure in found.failures:
        console.print(Text(f"{failure.status:<11} {local_path(failure.uri)}: {failure.reason}"))


def _console() -> Console:
    """Standard output; lines for pipes and files are not cut to a width that nobody sees."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = UNWRAPPED
    return console


def local_path(uri: str) -> str:
    """The path of a ``file:`` uri relative to the working folder when below it, else the uri.

    Bytes that no text encoding explains are shown as ``?``, keys in buckets without quoting.
    """
    raw = _path_of(uri)
    if raw is None or scheme_of(raw):
        return raw or uri
    path = Path(raw)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return "".join(c if c.isprintable() else "?" for c in str(path))


def _path_of(uri: str) -> str | None:
    if scheme_of(uri) in BUCKETS:
        return "/".join(split_uri(uri))
    parts = urlsplit(uri)
    return os.fsdecode(unquote_to_bytes(parts.path)) if parts.scheme == "file" else None


def _raw_path(hit: Hit) -> str:
    return _path_of(hit.uri) or hit.uri


def _where(hit: Hit) -> Text:
    text = Text(local_path(hit.uri))
    if hit.span:
        text.append(f"  {hit.span.label()}", style="dim")
    also = [moment.span.label() for moment in hit.moments if moment.span]
    if also:
        text.append(f"  also {', '.join(also)}", style="dim")
    if hit.duplicates:
        text.append(f"  +{len(hit.duplicates)} nearly the same", style="dim")
    if hit.text:
        words = " ".join(hit.text.split())
        text.append("\n" + (words if len(words) <= 160 else words[:159] + "…"), style="italic")
    return text


def _thumbnail(found: Results, hit: Hit) -> Text:
    """Half-block characters: two pixels per cell, in any terminal with 24-bit colour."""
    clip = found.preview(hit) if found.preview and hit.modality is Modality.IMAGE else None
    if clip is None:
        return Text("")
    from PIL import Image

    with Image.open(BytesIO(clip.data)) as image:
        image.thumbnail((THUMBNAIL_COLUMNS, THUMBNAIL_ROWS * 2))
        rgb = image.convert("RGB")
    text = Text()
    for y in range(0, rgb.height - 1, 2):
        for x in range(rgb.width):
            upper, lower = (
                "#{:02x}{:02x}{:02x}".format(*rgb.getpixel((x, y + d)))  # type: ignore[misc]
                for d in (0, 1)
            )
            text.append("▀", style=f"{upper} on {lower}")
        text.append("\n")
    return text


def _failures(console: Console, failures: Any) -> None:
    shown: list[Failure] = list(failures)[:SHOWN_FAILURES]
    console.print(f"{len(failures):,} could not be (fully) read; polyseek status lists them:")
    for failure in shown:
        console.print(Text(f"  {local_path(failure.uri)}: {failure.reason}"))
    if len(failures) > len(shown):
        console.print(f"  and {len(failures) - len(shown):,} more")


def _scale(calibration: Calibration | None) -> str:
    if calibration is None:
        return "not calibrated: ranked by position (polyseek tune)"
    return (
        f"hub correction {calibration.hub_strength:g}, {calibration.origin} calibration, a match "
        f"from {calibration.match_probability:.0%}"
    )


def _explain(console: Console, found: Results) -> None:
    for step in found.plan:
        if step.space is None:
            listed = f"{step.modality}: {step.rows:,} segments pass, {step.elapsed_ms:.1f} ms"
            console.print(listed, style="dim")
            continue
        recall = "never measured" if step.recall is None else f"{step.recall:.3f}"
        console.print(
            f"{step.modality}: {step.rows:,} segments in the {step.space} space, "
            f"{f'query moved by {step.adapter}, ' if step.adapter else ''}{step.tier}, "
            f"recall {recall}, {step.elapsed_ms:.1f} ms; {_scale(step.calibration)}"
            f"{'' if step.words is None else f'; {step.words:,} have words of the query'}"
            f"{'' if step.sparse is None else f'; {step.sparse:,} by sparse vector'}"
            f"{_fusion(step)}{_LOOKS[step.refined]}",
            style="dim",
        )
    for hit in () if found.browsed else found:
        for line in _account(hit):
            console.print(Text(line, style="dim"))
    times = ", ".join(f"{stage} {ms:.1f}" for stage, ms in found.timings_ms.items())
    console.print(Text(f"retriever '{found.retriever}', milliseconds: {times}", style="dim"))


_LOOKS = {None: "", True: "; looked at twice", False: "; not looked at twice"}


def _fusion(step: PlanStep) -> str:
    """How several signals were put together."""
    if step.fusion is None or (not step.words and not step.sparse):
        return ""
    return f"; fused by {step.fusion}"


def _account(hit: Hit) -> list[str]:
    """Why a hit is where it is, line by line."""
    bias = "" if hit.hub_bias is None else f", hub bias {hit.hub_bias:.3f}"
    words = "" if hit.text_score is None else f", words {hit.text_score:.2f} ({hit.text_share:.0%})"
    ranks = ", ".join(f"{stage} {rank}" for stage, rank in hit.ranks)
    sparse = "" if hit.sparse_score is None else f", sparse {hit.sparse_score:.3f}"
    near = "score" if hit.score in (hit.sparse_score, hit.text_score) else "cosine"
    lines = [f"#{hit.rank}: {near} {hit.score:.4f}{bias}{words}{sparse}; rank after {ranks}"]
    for one in hit.evidence:
        alone = "" if one.probability is None else f", alone {one.probability:.0%}"
        lines.append(f"   {one.weight:+g} {one.term}: cosine {one.score:.4f}{alone}")
    lines += [f"   {local_path(one.uri)} is nearly the same ({one.similarity:.3f})"
              for one in hit.duplicates]  # fmt: skip
    if hit.account:
        lines += [f"   without {term!r}: rank {rank}" for term, rank in hit.account.without]
        if hit.account.words:
            lines.append(f"   words: {', '.join(hit.account.words)}")
        if hit.account.sentence:
            lines.append(f"   nearest sentence: {' '.join(hit.account.sentence.split())}")
    return lines
