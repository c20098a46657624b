"""Options that several groups of commands share, described once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import click.shell_completion

from fastrnn.cli.settings import Decorator, F, setting
from fastrnn.cli.tables import first_columns

__all__ = ["COLUMN", "MODEL", "TABLE", "Numbers", "common", "ordered", "reading_options", "training_options"]

MODEL = click.Path(exists=True, dir_okay=False, path_type=Path)
TABLE = click.Path(exists=True, dir_okay=False, allow_dash=True)


class _Column(click.ParamType):  # type: ignore[type-arg]  # generic in some versions
    """The name of a column, which the shell completes from the file that was named before."""

    name = "column"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Names that begin with what is typed so far."""
        # An argument of several words is not sorted out yet while completing.
        given = [ctx.params.get("file"), *(ctx.params.get("files") or ()), *ctx.args]
        names = next((first_columns(str(word)) for word in given if word is not None), [])
        return [click.shell_completion.CompletionItem(name) for name in names if name.startswith(incomplete)]


COLUMN = _Column()


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers with commas between."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """A tuple of float."""
        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(float(word) for word in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers with commas between", param, ctx)


class _Described(NamedTuple):
    kind: Any
    text: str
    none: str | None = None


# What a setting means in all tasks that have it; a task may say it in its own words.
_COMMON = {
    "cell": _Described(("lstm", "gru", "rnn"), "Recurrent cell."),
    "num_layers": _Described(int, "Recurrent layers on top of each other."),
    "hidden_size": _Described(int, "Units of each recurrent layer."),
    "bidirectional": _Described(bool, "Read each sequence from both ends."),
    "embedding_size": _Described(int, "Numbers that stand for one symbol."),
    "pooling": _Described(("attention", "max", "mean", "last"), "How the steps become one answer."),
    "dropout": _Described(float, "Probability of dropping a value between layers."),
    "recurrent_dropout": _Described(float, "Variational dropout on the recurrent path."),
    "class_weight": _Described(("balanced",), "Give rare classes more weight.", "all alike"),
    "calibrate": _Described(bool, "Calibrate the probabilities on the held-out part."),
    "epochs": _Described(int, "Passes over the data.", "as many as it needs"),
    "max_seconds": _Described(float, "Train for this long.", "no limit"),
    "batch_size": _Described(int, "Sequences that are learned from at once."),
    "learning_rate": _Described(float, "The largest one."),
    "schedule": _Described(("cosine", "constant"), "Course of the learning rate."),
    "optimizer": _Described(("adam", "adamw", "rmsprop", "adagrad", "sgd"), "Update rule."),
    "weight_decay": _Described(float, "Decay of the weights."),
    "clip_norm": _Described(float, "Largest norm of the gradients."),
    "validation_fraction": _Described(float, "Part of the data that is held out."),
    "patience": _Described(int, "Stop after so many epochs without progress.", "never"),
    "random_state": _Described(int, "Seed: the same seed, the same weights.", "random"),
    "n_threads": _Described(int, "Threads: any number, the same weights.", "all cores"),
    "checkpoint_every": _Described(float, "Seconds between checkpoints."),
}


def ordered(*decorators: Decorator) -> Decorator:
    """All of them as one, so that the help lists them in this order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def common(estimator: str, section: str, names: str, **own: str) -> Decorator:
    """Declare settings that several estimators have.

    Parameters
    ----------
    estimator : str
        ``"module:Class"``.
    section : str
        Where the help lists them.
    names : str
        The parameters, separated by spaces, in the order of the help.
    **own
        Help in the task's own words; after a bar, what a default of None means there.
    """
    declared = []
    for name in names.split():
        kind, text, none = _COMMON[name]
        text, _, words = own.get(name, text).partition(" | ")
        declared.append(setting(estimator, name, kind, text, section=section, none=words or none))
    return ordered(*declared)


def training_options(function: F) -> F:
    """Decorate a ``train`` command with what all of them have."""
    return ordered(
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="MODEL",
            help="File to write the model to.",
        ),
        click.option("--resume", is_flag=True, help="Continue an interrupted training of MODEL."),
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
    )(function)


def reading_options(function: F) -> F:
    """Decorate a command that reads tables."""
    return ordered(
        click.option("--encoding", default="utf-8", show_default=True, help="Of text files."),
        click.option(
            "--no-header",
            "header",
            flag_value=False,
            default=True,
            help="The first row holds data: columns are called 1, 2, …",
        ),
    )(function)
