"""Results as self-contained HTML: a contact sheet file, and a fragment for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from io import BytesIO
from urllib.parse import unquote, urlsplit

from polyseek.core.hits import Clip, Hit
from polyseek.search.results import Results

_LINKED = frozenset({"file", "http", "https"})  # a browser would run a `javascript:` link
_STYLE = """
.polyseek{font:14px/1.45 system-ui,sans-serif;color:#1c1c1e}
.polyseek ol{list-style:none;margin:0;padding:0;display:grid;gap:14px;
 grid-template-columns:repeat(auto-fill,minmax(200px,1fr))}
.polyseek li{background:#f3f3f5;border-radius:8px;overflow:hidden;display:flex;
 flex-direction:column}
.polyseek img,.polyseek video{width:100%;height:180px;object-fit:contain;background:#e4e4e8;
 display:block}
.polyseek audio{width:100%;margin:70px 0}
.polyseek blockquote{margin:0;padding:10px 12px;height:160px;overflow:auto;background:#fff8e6}
.polyseek p{margin:0;padding:8px 12px;overflow-wrap:anywhere}
.polyseek small{color:#5d5d66}
.polyseek svg{width:100%;height:32px;display:block}.polyseek svg.where{height:180px}
.polyseek a{color:inherit}
@media (prefers-color-scheme:dark){.polyseek{color:#ececf0}.polyseek li{background:#26262b}
 .polyseek img,.polyseek video{background:#1b1b1f}.polyseek blockquote{background:#35301f}
 .polyseek small{color:#a5a5b0}}
"""


def page(results: Results) -> str:
    """A whole HTML page that needs no other file: pictures and clips are inside."""
    title = _escape(results.query)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title} - polyseek</title>"
        "<style>body{margin:24px}@media (prefers-color-scheme:dark){body{background:#161618}}"
        f"</style>{fragment(results)}</html>\n"
    )


def fragment(results: Results) -> str:
    """A `div` with the hits as a grid of cards."""
    cards = "".join(
        _card(hit, results.preview(hit) if results.preview else None, rated=not results.browsed)
        for hit in results
    )
    c = results.coverage
    found = "nothing found" if results.no_match else f"{len(results)} hits"
    return (
        f'<div class="polyseek"><style>{_STYLE}</style>'
        f"<h2>{_escape(results.query)}</h2>"
        f"<p><small>{found}; {c.searched} assets searched, {c.failed} failed, "
        f"{c.pending} pending</small></p><ol>{cards}</ol></div>"
    )


def _card(hit: Hit, clip: Clip | None, *, rated: bool) -> str:
    scheme, path = _parts(hit.uri)
    name = _escape(unquote(path).rsplit("/", 1)[-1] or hit.uri)
    link = f'<a href="{_escape(hit.uri)}">{name}</a>' if scheme in _LINKED else name
    places = [hit.span.label()] if hit.span else []
    places += [moment.span.label() for moment in hit.moments if moment.span]
    where = f"<br><small>{_escape(', '.join(places))}</small>" if places else ""
    same = len(hit.duplicates)
    where += f"<br><small>+{same} nearly the same</small>" if same else ""
    figure = f" &middot; {hit.figure().strip()}" if rated else ""
    return (
        f"<li>{_body(hit, clip, name)}{_curve(hit)}<p>{hit.rank}. {link}{where}<br>"
        f"<small>{_escape(hit.modality)}{figure}</small></p></li>"
    )


def _body(hit: Hit, clip: Clip | None, name: str) -> str:
    if clip is None:
        return f"<blockquote>{_escape(hit.text or '')}</blockquote>"
    if hit.account and hit.account.where:
        return _heat(hit.account.where, clip, name)
    return clip.html(name)


def _heat(where: Sequence[Sequence[float]], clip: Clip, name: str) -> str:
    """The picture, darker where it does not answer; the encoder looked at its centre square."""
    from PIL import Image

    with Image.open(BytesIO(clip.data)) as image:
        width, height = image.size
    side, step = min(width, height), min(width, height) / len(where)
    low, high = min(map(min, where)), max(map(max, where))
    cells = "".join(
        f'<rect x="{(width - side) / 2 + x * step:.1f}" y="{(height - side) / 2 + y * step:.1f}" '
        f'width="{step + 0.5:.1f}" height="{step + 0.5:.1f}" '
        f'opacity="{0.75 * (high - value) / max(high - low, 1e-9):.2f}"/>'
        for y, row in enumerate(where)
        for x, value in enumerate(row)
    )
    return (
        f'<svg class="where" viewBox="0 0 {width} {height}" role="img" aria-label="{name}">'
        f'<image href="{clip.url}" width="{width}" height="{height}"/>{cells}</svg>'
    )


def _curve(hit: Hit) -> str:
    """How well every second of a recording answers, where that was asked for."""
    curve = hit.account.curve if hit.account else ()
    if len(curve) < 2:
        return ""
    start, end = curve[0][0], max(stop for _, stop, _ in curve)
    low, high = min(v for *_, v in curve), max(v for *_, v in curve)
    points = [
        f"{100 * ((a + b) / 2 - start) / max(end - start, 1e-9):.1f},"
        f"{19 - 18 * (value - low) / max(high - low, 1e-9):.1f}"
        for a, b, value in curve
    ]
    label = f"{low:.2f} to {high:.2f} over {end - start:.0f} s"
    return (
        f'<svg viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label="{label}">'
        f'<title>{label}</title><polyline points="{" ".join(points)}" fill="none" '
        'stroke="currentColor" vector-effect="non-scaling-stroke"/></svg>'
    )


def _parts(uri: str) -> tuple[str, str]:
    """Scheme and path."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "", uri
    return parts.scheme, parts.path


def _escape(text: str) -> str:
    """As HTML, also in attributes, that UTF-8 can hold: undecodable file names can be shown."""
    return escape(text.encode(errors="replace").decode(), quote=True)
