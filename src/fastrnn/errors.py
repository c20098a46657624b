"""Exceptions that need more than a built-in class, and the import of what an extra brings."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrnn._history import History

__all__ = ["MissingExtraError", "NonFiniteLossError", "TrainingInterrupted", "require"]


class MissingExtraError(ImportError):
    """A package that belongs to an optional extra of fastrnn is not installed.

    Parameters
    ----------
    package : str
        The package that was looked for.
    extra : str
        The extra that it belongs to, for example ``"data"``.
    command : str, optional
        What installs it, where the extra cannot.

    Examples
    --------
    >>> from fastrnn.errors import MissingExtraError
    >>> print(MissingExtraError("vega_datasets", "data"))
    the package 'vega_datasets' is not installed; install it with: pip install "fastrnn[data]"
    """

    def __init__(self, package: str, extra: str, command: str | None = None) -> None:
        command = command or f'pip install "fastrnn[{extra}]"'
        message = f"the package {package!r} is not installed; install it with: {command}"
        super().__init__(message, name=package)
        self.package = package
        self.extra = extra
        self.command = command

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return type(self), (self.package, self.extra, self.command)


class NonFiniteLossError(FloatingPointError):
    """The loss or the gradient became NaN or infinite; the weights are those of before that step."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended :func:`fastrnn.training.fit` between two steps.

    A subclass of KeyboardInterrupt, so that a program that does not expect it ends as the user wished.

    Attributes
    ----------
    history : History
        What was recorded up to the interruption.
    checkpoint : pathlib.Path or None
        The file from which ``resume=True`` continues; None if no checkpoint was asked for.
    """

    def __init__(self, history: History, checkpoint: Path | None) -> None:
        saved = (
            f"everything needed to continue is in {checkpoint} (resume=True)"
            if checkpoint
            else "nothing was saved: no checkpoint file was given"
        )
        super().__init__(f"training interrupted after {len(history.step_loss)} steps; {saved}")
        self.history = history
        self.checkpoint = checkpoint

    def __reduce__(self) -> tuple[type[TrainingInterrupted], tuple[History, Path | None]]:
        return type(self), (self.history, self.checkpoint)


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    Parameters
    ----------
    module : str
        Dotted name, for example ``"matplotlib.pyplot"``.
    extra : str
        The extra of fastrnn that installs it.

    Returns
    -------
    module

    Raises
    ------
    MissingExtraError
        If the module is not installed. An error inside an installed module is passed on as it is.

    Examples
    --------
    >>> from fastrnn.errors import require
    >>> require("json", "tasks").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, extra) from error
