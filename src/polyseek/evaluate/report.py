"""Reports as one HTML page that needs no other file: the frame of all, and the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from polyseek.evaluate.charts import svg
from polyseek.evaluate.diagnosis import Check, Diagnosis, Figure, Verdict

_STYLE = """
:root{--ink:#1c1c1e;--soft:#5d5d66;--page:#fafafb;--card:#fff;--line:#dcdce2;--ok:#1a7f43;
 --warning:#9a6200;--failure:#b3261e;--s0:#b9bcc8;--s1:#8fa8d8;--s2:#2f6fd0}
@media (prefers-color-scheme:dark){:root{--ink:#ececf0;--soft:#a5a5b0;--page:#161618;
 --card:#222226;--line:#3a3a41;--ok:#5ccb87;--warning:#e5b04c;--failure:#ff8a80;--s0:#5a5d69;
 --s1:#5273b0;--s2:#7fb0ff}}
body{margin:0 auto;padding:24px;max-width:880px;font:15px/1.5 system-ui,sans-serif;
 color:var(--ink);background:var(--page)}
h1{font-size:22px;margin:0 0 4px;overflow-wrap:anywhere}h2{font-size:17px;margin:0}
small,figcaption,th,summary,.legend{color:var(--soft);font-size:13px}
.verdict{font-size:19px;font-weight:600}
.ok{color:var(--ok)}.warning{color:var(--warning)}.failure{color:var(--failure)}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px;
 margin:16px 0;overflow-wrap:anywhere}
section h2 b{float:right;font-size:13px;text-transform:uppercase;letter-spacing:.04em}
section p{margin:6px 0}ul{margin:6px 0;padding-left:20px}
.advice{border-left:3px solid var(--warning);padding-left:10px}
table{border-collapse:collapse;margin:8px 0;font-size:13px;display:block;overflow-x:auto}
td,th{overflow-wrap:normal;text-align:left;padding:3px 12px 3px 0;vertical-align:top;
 border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}
figure{margin:14px 0 4px}svg{width:100%;height:auto}
svg text{fill:var(--ink);font-size:12px;text-anchor:middle}svg .value{font-size:10px;
 fill:var(--soft)}
.axis{stroke:var(--line)}
.s0{fill:var(--s0);background:var(--s0)}.s1{fill:var(--s1);background:var(--s1)}
.s2{fill:var(--s2);background:var(--s2)}
.worst{display:grid;grid-template-columns:repeat(auto-fill,minmax(130px,1fr));gap:8px}
.worst figure{margin:0}.worst img,.worst video,.worst audio{width:100%;border-radius:6px}
.worst figure.right{outline:2px solid var(--ok);outline-offset:2px;border-radius:6px}
.legend{margin:2px 0}.legend span{margin-right:16px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
"""
_SYMBOL = {Verdict.OK: "&#10003;", Verdict.WARNING: "!", Verdict.FAILURE: "&#10007;"}
TITLES: Mapping[str, str] = {
    "coverage": "Coverage",
    "age": "Made by this polyseek",
    "towers": "Towers share a space",
    "stored": "Stored vectors are the encoder's own",
    "norms": "Unit length",
    "spread": "Vectors differ",
    "duplicates": "Copies",
    "gap": "Modality gap",
    "hubness": "Hubs",
    "recall": "Index recall",
    "tuning": "Tuning",
    "bank": "Bank of queries",
}
"""How people call the checks."""


def page(found: Diagnosis) -> str:
    """The verdict on top, then a card per check."""
    cards = "".join(map(_card, found))
    return frame(
        f"polyseek doctor: {found.location}",
        f"<h1>{clean(found.location)}</h1><p class='verdict {found.verdict}'>"
        f"{_SYMBOL[found.verdict]} {clean(found.headline)}</p><p><small>encoder "
        f"{clean(found.encoder)}, {found.elapsed_s:.1f} s</small></p>{cards}",
    )


def frame(title: str, body: str) -> str:
    """A page around HTML."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="data:,">'
        f"<title>{clean(title)}</title><style>{_STYLE}</style>{body}</html>\n"
    )


def _card(check: Check) -> str:
    notes = "".join(f"<li>{clean(note)}</li>" for note in check.notes)
    advice = f"<p class=advice>{clean(check.advice)}</p>" if check.advice else ""
    figures = (
        f"<details><summary>figures</summary>{_figure(check.figures)}</details>"
        if check.figures
        else ""
    )
    return (
        f'<section id="{clean(check.name)}"><h2>{clean(TITLES.get(check.name, check.name))}'
        f'<b class="{check.verdict}">{_SYMBOL[check.verdict]} {check.verdict}</b></h2>'
        f"<p>{clean(check.summary)}</p>{advice}{f'<ul>{notes}</ul>' if notes else ''}"
        f"{''.join(map(svg, check.charts))}{figures}</section>"
    )


def _figure(value: Figure) -> str:
    """A table of a mapping, a table with one row per item of a list of mappings, or the value."""
    match value:
        case Mapping():
            if value and all(isinstance(row, Mapping) for row in value.values()):
                return table([{"": name, **row} for name, row in value.items()])  # type: ignore[dict-item]
            rows = "".join(
                f"<tr><th>{_key(name)}</th><td>{_figure(row)}</td></tr>"
                for name, row in value.items()
            )
            return f"<table>{rows}</table>"
        case str():
            return clean(value)
        case bool() | None:
            return {True: "yes", False: "no", None: "not known"}[value]
        case int() | float():
            return f"{value:,}"
        case Sequence():
            rows_ = [row for row in value if isinstance(row, Mapping)]
            if rows_ and len(rows_) == len(value):
                return table(rows_)
            return "<br>".join(map(_figure, value))


def table(rows: Sequence[Mapping[str, Figure]]) -> str:
    """One row per mapping, one column per name."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{_key(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_figure(row[n]) if n in row else ''}</td>" for n in names) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _key(name: str) -> str:
    return clean(name.replace("_", " "))


def clean(text: str) -> str:
    """As HTML, also in attributes, that UTF-8 can hold: undecodable file names can be shown."""
    return escape(text.encode(errors="replace").decode(), quote=True)
