"""Charts as inline SVG; colours come from the page's style."""

from __future__ import annotations

from html import escape

from polyseek.evaluate.diagnosis import Chart

_WIDTH, _HEIGHT, _LABELS, _TOP = 640, 220, 26, 18


def svg(chart: Chart) -> str:
    """Grouped bars with their values, and a legend, as HTML."""
    series = list(chart.series.items())
    peak = max((value for _, values in series for value in values), default=0.0) or 1.0
    group = _WIDTH / max(1, len(chart.labels))
    bar = min(60.0, 0.8 * group / max(1, len(series)))
    floor = _HEIGHT - _LABELS
    # The last series has the same colour in every chart.
    colours = [f"s{max(0, 3 - len(series) + j)}" for j in range(len(series))]
    parts = [f'<line class="axis" x1="0" y1="{floor}" x2="{_WIDTH}" y2="{floor}"/>']
    for i, label in enumerate(chart.labels):
        middle = (i + 0.5) * group
        parts.append(f'<text x="{middle:.1f}" y="{_HEIGHT - 8}">{_escape(label)}</text>')
        for j, (name, values) in enumerate(series):
            height = (floor - _TOP) * max(0.0, values[i]) / peak
            left = middle + (j - len(series) / 2) * bar
            shown = _number(values[i], share=peak <= 1)
            parts.append(
                f'<rect class="{colours[j]}" x="{left:.1f}" y="{floor - height:.1f}" '
                f'width="{0.9 * bar:.1f}" height="{height:.1f}"><title>{_escape(label)}, '
                f"{_escape(name)}: {shown}</title></rect>"
                f'<text class="value" x="{left + 0.45 * bar:.1f}" y="{floor - height - 4:.1f}">'
                f"{shown}</text>"
            )
    legend = " ".join(
        f'<span><i class="{colours[j]}"></i>{_escape(name)}</span>'
        for j, (name, _) in enumerate(series)
    )
    title = _escape(chart.title)
    return (
        f"<figure><figcaption>{title}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"{''.join(parts)}</svg><p class=legend>{legend}</p></figure>"
    )


def _number(value: float, *, share: bool) -> str:
    return f"{value:.0%}" if share else f"{value:,.0f}"


def _escape(text: str) -> str:
    return escape(text.encode(errors="replace").decode(), quote=True)
