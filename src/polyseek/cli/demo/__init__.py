"""`polyseek demo`: a small real corpus, indexed and searched in every direction."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from polyseek import api
from polyseek.cli import exits, render
from polyseek.cli.demo import corpus
from polyseek.cli.progress import progress_bar
from polyseek.core.config import resolve_settings
from polyseek.core.types import Modality
from polyseek.search.results import Results
from polyseek.search.sheet import page

LIMIT = 3


def run(folder: Path | None, *, to: Path) -> int:
    """Build or take a corpus, index it, search it, and say what to type next.

    Args:
        folder: The user's own folder; None for the public corpus.
        to: Where the corpus, the collection and the contact sheet go.
    """
    console = Console(highlight=False)
    settings = resolve_settings()
    with progress_bar() as progress:
        source = folder or corpus.build(to / "corpus", settings, progress=progress)
        collection = api.open(to / f"{source.resolve().name}.polyseek", settings=settings)
        # The public corpus says where each picture is from; a user's folder may have sidecars.
        metadata = None if folder else corpus.metadata_file(source)
        report = collection.add(source, metadata=metadata, progress=progress)
    render.report(report, location=collection.location)
    if report.interrupted:
        return exits.INTERRUPTED
    last = None
    for title, term, modality in corpus.SEARCHES if folder is None else _own(collection):
        query = str(source / term.removeprefix("./")) if term.startswith("./") else term
        only = [modality] if modality else []
        last = collection.search(query, limit=LIMIT if modality else 2 * LIMIT, modalities=only)
        _show(console, title, term, last)
    if last is not None:
        sheet = to / "results.html"
        sheet.write_text(page(last), encoding="utf-8")
        console.print(f"\nContact sheet of the last search: {escape(str(sheet))}")
    if folder is None:
        console.print(corpus.CREDITS, style="dim", soft_wrap=True)
    _next_steps(console, collection.location)
    return exits.OK


def _own(collection: api.Collection) -> list[tuple[str, str, Modality | None]]:
    """Searches that make sense in any folder: everyday words, for each modality it has."""
    held = collection.status().modalities
    words = ("people outdoors", "an animal", "music")
    searches: list[tuple[str, str, Modality | None]] = [
        (f"text -> {modality}", word, modality)
        for modality in (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
        if modality in held
        for word in words
    ]
    return [*searches, ("text -> everything", words[0], None)]


def _show(console: Console, title: str, term: str, results: Results) -> None:
    console.print(f"\n[bold]{escape(title)}[/bold]: {escape(term)}")
    render.results(results, explain=False)


def _next_steps(console: Console, location: str) -> None:
    where, program = escape(location), escape(_program())
    console.print(
        "\n[bold]Your turn[/bold]\n"
        f'  {program} search -c {where} "a cat"\n'
        f'  {program} search -c {where} "the night sky" --filter "year >= 2010"\n'
        f"  {program} search -c {where} ./your-photo.jpg --grid similar.html\n"
        f"  {program} index ~/Pictures\n"
        f'  {program} search "sunset over the ocean"',
        soft_wrap=True,
    )


def _program() -> str:
    """What to type for `polyseek`: in an environment that is not active, its path."""
    return "polyseek" if shutil.which("polyseek") else sys.argv[0]
