"""Command line options that are settings of an estimator: one default, kept where the estimator keeps it.

A command with many of them shows its help in sections.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, TypeVar

import click

__all__ = ["Decorator", "F", "SectionedCommand", "Setting", "explicit_settings", "setting"]

F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """What click makes of an option: it leaves the type of the function as it is."""

    def __call__(self, function: F, /) -> F:
        """Decorate a command's function."""


@cache
def _defaults(estimator: str) -> dict[str, Any]:
    module, _, name = estimator.partition(":")
    signature = inspect.signature(getattr(importlib.import_module(module), name))
    return {key: parameter.default for key, parameter in signature.parameters.items()}


class Setting(click.Option):
    """An option whose default is read from the estimator's signature, and only when it is needed.

    Importing scikit-learn takes a second, which ``fastrnn --help`` should not cost.
    """

    def __init__(self, *args: Any, estimator: str, section: str, none: str | None, **attributes: Any) -> None:
        self.estimator = estimator
        self.section = section
        self.none = none
        super().__init__(*args, **attributes)

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        """Default of the estimator's parameter of the same name."""
        if call and ctx.resilient_parsing:
            return None  # the shell asks for completions: nobody will use it
        return _defaults(self.estimator)[str(self.name)]

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Names and help, with the default in words where it is None."""
        self.show_default = (self.get_default(ctx, call=False) is None and self.none) or True
        return super().get_help_record(ctx)


class SectionedCommand(click.Command):
    """A command whose help lists its settings by section, after the other options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def setting(
    estimator: str, name: str, kind: Any, text: str, *, section: str, none: str | None = None
) -> Decorator:
    """Declare the option ``--name`` for a parameter of an estimator.

    Parameters
    ----------
    estimator : str
        ``"module:Class"``.
    name : str
        The parameter; underscores become hyphens.
    kind : type or click.ParamType or sequence of str
        Type of the value, or the accepted words.
    text : str
        The help.
    section : str
        Where the help lists it.
    none : str, optional
        What a default of None means, in words.
    """
    if not isinstance(kind, (type, click.ParamType)):
        kind = click.Choice(list(kind))
    option = "--" + name.replace("_", "-")
    return click.option(
        f"{option}/--no-{option[2:]}" if kind is bool else option,
        cls=Setting,
        estimator=estimator,
        section=section,
        type=kind,
        help=text,
        none=none,
    )


def explicit_settings(ctx: click.Context) -> dict[str, Any]:
    """Settings that were given on the command line, without those left at their defaults."""
    return {
        str(option.name): ctx.params[str(option.name)]
        for option in ctx.command.params
        if isinstance(option, Setting)
        and ctx.get_parameter_source(str(option.name)) is click.core.ParameterSource.COMMANDLINE
    }
