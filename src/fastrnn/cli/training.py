"""Training from the command line: where things are saved, and how an interrupted training goes on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.errors import INTERRUPTED
from fastrnn.training import TrainingInterrupted, checkpoint_metadata

__all__ = ["checkpoint_path", "train_text"]


def checkpoint_path(output: Path) -> Path:
    """Where the state of the training of a model is kept until it is complete."""
    return output.with_name(output.name + ".checkpoint")


def train_text(
    texts: Sequence[str],
    output: Path,
    given: dict[str, Any],
    *,
    resume: bool,
    quiet: bool,
    source: Sequence[str],
) -> None:
    """Train a text generator and write it to `output`.

    Parameters
    ----------
    texts : sequence of str
        The documents.
    output : Path
        File of the model.
    given : dict
        Settings from the command line. A resumed training takes the others from its checkpoint.
    resume, quiet : bool
        The options of these names.
    source : sequence of str
        Arguments that named the texts, for the command that resumes.
    """
    from fastrnn.tasks import TextGenerator

    _check_writable(output)  # before the work rather than after it
    checkpoint = checkpoint_path(output)
    settings = dict(given)
    if resume:
        if not checkpoint.exists():
            raise ValueError(f"nothing to resume: there is no {checkpoint}")
        settings = {**checkpoint_metadata(checkpoint).get("settings", {}), **given}
    elif checkpoint.exists():
        raise ValueError(
            f"{checkpoint} holds an interrupted training: continue it with --resume, "
            "or delete it to begin anew"
        )
    settings.update(checkpoint=checkpoint, progress=not quiet)
    generator = TextGenerator(**settings)
    try:
        generator.fit(texts, resume=resume)
    except TrainingInterrupted as interrupt:
        generator.save(output)
        command = shlex.join(["fastrnn", "text", "train", *source, "-o", str(output), "--resume"])
        click.echo(
            f"\nInterrupted after {len(interrupt.history.step_loss):,} steps. {output} can be used as it is; "
            f"{checkpoint} holds everything to continue:\n  {command}",
            err=True,
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    generator.save(output)
    checkpoint.unlink(missing_ok=True)
    if not quiet:
        click.echo(_summary(generator, output), err=True)


def _check_writable(output: Path) -> None:
    folder = output.parent
    if not folder.is_dir():
        raise ValueError(f"{output} cannot be written: there is no directory {folder}")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{output} cannot be written: no permission to write to {folder}")


def _summary(generator: Any, output: Path) -> str:
    history = generator.history_
    parameters = sum(parameter.size for parameter in generator.model_.parameters())
    parts = [f"{output}: {parameters:,} parameters", f"{len(history.step_loss):,} steps"]
    if "val_loss" in history:
        best = min(history["val_loss"]) * generator._scale
        parts.append(f"{best:.4f} bits per character on the held-out part")
    return ", ".join(parts)
