"""README and docs say only what is true of the code beside them."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import polyseek
from polyseek.cli.app import app
from polyseek.core.config import IndexOptions, Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands():
    """Every `polyseek ...` line of a console block, without comment, pipe and redirection."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
            for line in block.splitlines():
                if line.startswith("$ polyseek "):
                    yield re.split("  #| [|>] ", line[2:])[0].strip()


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_shown_parses(line):
    program, *words = shlex.split(line)
    command = get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        name, *words = words
        command = command.commands[name]
    assert command.name != program, f"no such command: {line}"
    command.make_context(command.name, words)  # raises on an unknown option or a missing argument


def test_the_tree_shown_is_the_tree_there_is():
    tree = re.search(r"```\n(src/polyseek/.*?)```", README, flags=re.DOTALL)
    inside = False
    for line in tree[1].splitlines():
        name = line.split()[0]
        inside = line.startswith(" ") or name == "src/polyseek/"
        base = ROOT / "src" / "polyseek" if line.startswith(" ") else ROOT
        assert (base / name).exists(), name
    assert not inside
    shown = set(re.findall(r"^  ([a-z]+)/", tree[1], flags=re.MULTILINE))
    there = {p.parent.name for p in (ROOT / "src" / "polyseek").glob("*/__init__.py")}
    assert shown == there


def test_make_targets_shown_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    shown = set(re.findall(r"(?:\$ |`)make (\w+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    assert shown <= targets
    assert {"demo", "test"} <= shown


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_settings_and_options_shown_exist():
    for name in re.findall(r"POLYSEEK_([A-Z_]+)", README):
        assert name.lower() in Settings.__dataclass_fields__, name
    documented = polyseek.Collection.add.__doc__
    for name in IndexOptions.__dataclass_fields__:
        assert f"``{name}``" in documented


def test_no_placeholder_is_left():
    for page in PAGES:
        assert not re.search(r"\b(TODO|TBD|QUALITY_ROWS|XXX)\b", page.read_text(encoding="utf-8"))
