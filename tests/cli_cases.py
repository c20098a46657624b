"""How the tests of the command line run it."""

from __future__ import annotations

import sys
from typing import Any

from click.testing import CliRunner, Result

from fastrnn.cli.app import app


def run(*arguments: Any, **how: Any) -> Result:
    """A command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="fastrnn", **how)


def process(*arguments: Any) -> list[str]:
    """Words that run a command in a process of its own."""
    return [sys.executable, "-m", "fastrnn", *map(str, arguments)]


def succeed(*arguments: Any, **how: Any) -> Result:
    """A command that does its work."""
    result = run(*arguments, **how)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def failure(*arguments: Any, code: int = 1, **how: Any) -> str:
    """Last line of a command that cannot do its work; others may say which columns it uses."""
    result = run(*arguments, **how)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    *notes, message = result.stderr.removesuffix("\n").split("\n")
    assert message.startswith("Error: "), message
    assert all("guessed" in note or "left out" in note for note in notes), notes
    return message


def options(settings: dict[str, Any]) -> list[str]:
    """Settings of an estimator as words on the command line."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
