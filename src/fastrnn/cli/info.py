"""``fastrnn info``: what this installation computes with."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from typing import Any

import click
import numpy as np

from fastrnn import backend
from fastrnn.cli.output import AS_JSON

__all__ = ["collect", "info", "version"]


def version() -> str:
    """Version of the installed package, or of the source tree when run without installing it."""
    try:
        return importlib.metadata.version("fastrnn")
    except importlib.metadata.PackageNotFoundError:
        import fastrnn

        return str(getattr(fastrnn, "__version__", "unknown"))


def collect() -> dict[str, Any]:
    """The facts that ``fastrnn info`` prints, in the order in which it prints them."""
    facts: dict[str, Any] = {
        "version": version(),
        "backend": backend.current_backend(),
        "isa": None,
        "available_isas": [],
        "threads": None,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }
    try:
        facts["isa"] = backend.current_isa()
        facts["available_isas"] = list(backend.available_isas())
        facts["threads"] = backend.get_num_threads()
    except ImportError as error:
        # The reference backend works without the compiled engine: say so rather than fail.
        facts["engine"] = f"not available: {error}"
    return facts


@click.command()
@AS_JSON
def info(as_json: bool) -> None:
    """Show version, instruction set, threads and backend."""
    facts = collect()
    if as_json:
        click.echo(json.dumps(facts))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"{name.replace('_', ' '):{width}}  {'-' if shown in (None, '') else shown}")
