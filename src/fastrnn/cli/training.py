"""Training from the command line: where things are saved, and how an interrupted training goes on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fastrnn.cli.errors import INTERRUPTED
from fastrnn.cli.output import check_writable
from fastrnn.cli.settings import Setting, explicit_settings
from fastrnn.training import TrainingInterrupted, checkpoint_metadata

__all__ = ["checkpoint_path", "prepare", "train"]

_NOT_REPEATED = frozenset({"output", "resume", "quiet"})


def checkpoint_path(output: Path) -> Path:
    """Where the state of the training of a model is kept until it is complete."""
    return output.with_name(output.name + ".checkpoint")


def prepare(ctx: click.Context, task: type) -> Any:
    """The estimator to train, as the command line says; refuses what could not be saved in the end.

    A resumed training takes the settings that are not given from its checkpoint.

    Raises
    ------
    ValueError
        If the task does not have a setting that was given, the model cannot be written, there is nothing to
        resume, or there is and nobody asked for it.
    """
    output: Path = ctx.params["output"]
    check_writable(output)  # before the work rather than after it
    checkpoint = checkpoint_path(output)
    settings = explicit_settings(ctx)
    known = task().get_params()
    for name in settings.keys() - known.keys():
        raise ValueError(f"--{name.replace('_', '-')} is no setting of a {task.__name__}")
    if ctx.params["resume"]:
        if not checkpoint.exists():
            raise ValueError(f"nothing to resume: there is no {checkpoint}")
        settings = {**checkpoint_metadata(checkpoint).get("settings", {}), **settings}
    elif checkpoint.exists():
        raise ValueError(
            f"{checkpoint} holds an interrupted training: continue it with --resume, "
            "or delete it to begin anew"
        )
    # A checkpoint of another task, with other settings, is refused by fit.
    settings = {name: value for name, value in settings.items() if name in known}
    return task(**{**settings, "checkpoint": checkpoint, "progress": not ctx.params["quiet"]})


def train(ctx: click.Context, estimator: Any, *data: Any, notes: Mapping[str, Any] | None = None) -> None:
    """Fit what `prepare` gave and write it to the output of the command.

    Parameters
    ----------
    ctx : click.Context
        Of a command with :func:`fastrnn.cli.options.training_options`.
    estimator : TaskEstimator
    *data
        What `fit` takes.
    notes : mapping, optional
        Kept in the model file.
    """
    output: Path = ctx.params["output"]
    checkpoint = checkpoint_path(output)
    try:
        estimator.fit(*data, resume=ctx.params["resume"])
    except TrainingInterrupted as interrupt:
        estimator.save(output, notes)
        click.echo(
            f"\nInterrupted after {len(interrupt.history.step_loss):,} steps. {output} can be used as it is; "
            f"{checkpoint} holds everything to continue:\n  {_resuming(ctx)}",
            err=True,
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    estimator.save(output, notes)
    checkpoint.unlink(missing_ok=True)
    if not ctx.params["quiet"]:
        click.echo(_summary(estimator, output), err=True)


def _resuming(ctx: click.Context) -> str:
    """The command that continues: the same data; settings need not be repeated."""
    words = ctx.command_path.split()
    for parameter in ctx.command.params:
        name = str(parameter.name)
        value = ctx.params.get(name)
        if isinstance(parameter, click.Argument):
            words += value if isinstance(value, tuple) else [str(value)]
        elif (
            name not in _NOT_REPEATED
            and not isinstance(parameter, Setting)
            and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ):
            option = max(parameter.opts, key=len)
            if getattr(parameter, "is_flag", False):
                words.append(option)
            else:
                for item in value if isinstance(value, tuple) else (value,):
                    words += [option, str(item)]
    return shlex.join([*words, "-o", str(ctx.params["output"]), "--resume"])


def _summary(estimator: Any, output: Path) -> str:
    history = estimator.history_
    parameters = sum(parameter.size for parameter in estimator.model_.parameters())
    parts = [f"{output}: {parameters:,} parameters", f"{len(history.step_loss):,} steps"]
    if "val_loss" in history:
        best = min(history["val_loss"]) * estimator._scale
        parts.append(f"{best:.4f} {estimator._unit} on the held-out part")
    return ", ".join(parts)
