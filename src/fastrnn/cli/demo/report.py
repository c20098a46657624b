"""A report as one HTML file that needs nothing beside itself."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Finding",
    "Section",
    "columns",
    "heading",
    "page",
    "paragraph",
    "picture",
    "preformatted",
    "table",
    "words",
]

_PICTURE_SIZE = (5.0, 3.4)  # inches: letters are still legible on a telephone
_PICTURE_DPI = 200

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --soft: #57606a; --line: #d7dce2; --ground: #ffffff;
  --panel: #f5f7f9; --accent: #0b62b8; --good: #12703c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ed; --soft: #9aa5b1; --line: #373e47;
  --ground: #15191e; --panel: #1e242b; --accent: #6cb2f7; --good: #5ecb8b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.4rem; margin: 0 0 .5rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p { margin: .5rem 0; max-width: 44rem; overflow-wrap: break-word; }
.soft, figcaption, footer { color: var(--soft); font-size: .875rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0;
  margin: 1rem 0 0; }
a { color: var(--accent); }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1.75rem; }
.scroll { overflow-x: auto; max-width: 100%; margin: .75rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9375rem; }
th, td { padding: .35rem .9rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; font-size: .8125rem; vertical-align: bottom; }
tbody th { font-weight: 400; }
tr.own th { font-weight: 600; }
th small { display: block; white-space: normal; color: var(--soft); font-weight: 400; }
td.best { font-weight: 700; color: var(--good); }
figure { margin: 1rem 0; max-width: 42rem; }
figure img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: .4rem; }
figcaption { margin-top: .4rem; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .75rem 1rem;
  margin: .5rem 0; overflow: auto; max-height: 30rem; white-space: pre-wrap;
  font: .8125rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.columns { display: grid; gap: 0 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.words { background: #fff; color: #1c2128; border: 1px solid var(--line); border-radius: .4rem;
  padding: .75rem 1rem; margin: .5rem 0; overflow-x: auto; }
code { font: .875em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
@media (max-width: 40rem) { th, td { padding-left: .45rem; padding-right: .45rem; }
  tbody th { white-space: normal; min-width: 7rem; } h1 { font-size: 1.6rem; } }
footer { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1rem; padding-bottom: 2rem; }
""".strip()


@dataclass(frozen=True)
class Finding:
    """The figure that matters in a section, beside its baseline's."""

    measure: str
    own: float
    baseline: float
    method: str
    """Of the baseline."""
    higher_is_better: bool

    @property
    def beaten(self) -> bool:
        """Whether the network is better than the baseline."""
        return (self.own > self.baseline) == self.higher_is_better


@dataclass
class Section:
    """A part of the report."""

    id: str
    title: str
    blocks: list[str] = field(default_factory=list)
    """HTML, as the functions here give it."""
    findings: list[Finding] = field(default_factory=list)


def paragraph(text: str, *, soft: bool = False) -> str:
    """Plain text, in which ``code`` may stand between backquotes."""
    parts = [
        f"<code>{html.escape(part)}</code>" if i % 2 else html.escape(part)
        for i, part in enumerate(text.split("`"))
    ]
    return f"<p{' class=soft' if soft else ''}>{''.join(parts)}</p>"


def heading(text: str) -> str:
    """Of a part of a section."""
    return f"<h3>{html.escape(text)}</h3>"


def table(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Any]]],
    *,
    own: str | None = None,
    best: dict[str, Any] | None = None,
    digits: int = 3,
) -> str:
    """Figures, a row for each name.

    Parameters
    ----------
    columns : sequence of str
        The first names the rows.
    rows : sequence of (str, sequence)
        Numbers are written with so many `digits`, None as a dash.
    own : str, optional
        The row of the network, which is set off.
    best : dict of str to callable, optional
        Columns whose best value is marked, with ``min`` or ``max``.
    """
    marked = {
        place: choose([cells[place] for _, cells in rows if cells[place] is not None])
        for place, column in enumerate(columns[1:])
        if (choose := (best or {}).get(column)) is not None
    }
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = []
    for name, cells in rows:
        row = "".join(
            f"<td{' class=best' if place in marked and cell == marked[place] else ''}>"
            f"{html.escape(_cell(cell, digits))}</td>"
            for place, cell in enumerate(cells)
        )
        kind = " class=own" if name == own else ""
        body.append(f'<tr{kind}><th scope="row">{html.escape(name)}</th>{row}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def picture(figure: Any, text: str, caption: str = "", *, size: tuple[float, float] | None = None) -> str:
    """A matplotlib figure, inside the file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    text : str
        What it shows, for those who cannot see it.
    caption : str, optional
    size : (float, float), optional
        In inches.
    """
    figure.set_size_inches(size or _PICTURE_SIZE)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_PICTURE_DPI)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{html.escape(text)}" src="data:image/png;base64,{encoded}">{below}</figure>'


def preformatted(text: str) -> str:
    """Text as it is."""
    return f'<pre tabindex="0">{html.escape(text)}</pre>'


def words(markup: str) -> str:
    """HTML with colours of its own, on a white ground."""
    return f'<div class="words">{markup}</div>'


def columns(*blocks: str) -> str:
    """Blocks beside each other where the window is wide enough."""
    return f'<div class="columns">{"".join(f"<div>{block}</div>" for block in blocks)}</div>'


def glance(sections: Sequence[Section]) -> str:
    """All findings in one table."""
    rows = []
    for section in sections:
        for finding in section.findings:
            own, other = (f"{value:.3f}" for value in (finding.own, finding.baseline))
            marks = (" class=best", "") if finding.beaten else ("", " class=best")
            rows.append(
                f'<tr><th scope="row"><a href="#{section.id}">{html.escape(section.title)}</a>'
                f"<small>{html.escape(finding.measure)}; baseline: {html.escape(finding.method)}</small></th>"
                f"<td{marks[0]}>{own}</td><td{marks[1]}>{other}</td></tr>"
            )
    if not rows:
        return ""
    head = '<th scope="col"></th><th scope="col">network</th><th scope="col">baseline</th>'
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def page(title: str, lead: str, sections: Sequence[Section], foot: str) -> str:
    """The whole document."""
    links = "".join(f'<li><a href="#{s.id}">{html.escape(s.title)}</a></li>' for s in sections)
    body = "\n".join(
        f'<section id="{s.id}">\n<h2>{html.escape(s.title)}</h2>\n' + "\n".join(s.blocks) + "\n</section>"
        for s in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<header>
<h1>{html.escape(title)}</h1>
{paragraph(lead)}
<nav aria-label="Contents"><ul>{links}</ul></nav>
{glance(sections)}
</header>
<main>
{body}
</main>
<footer>{paragraph(foot)}</footer>
</body>
</html>
"""


def _cell(value: Any, digits: int) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:,.{digits}f}" if isinstance(value, float) else str(value)
