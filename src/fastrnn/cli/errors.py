"""Errors and interruptions as the user of a command meets them."""

from __future__ import annotations

from typing import Any

import click

from fastrnn.errors import MissingExtraError

__all__ = ["INTERRUPTED", "OneLineErrors"]

INTERRUPTED = 130
"""Exit code of a command ended by Ctrl-C: 128 and the number of the signal, as in shells."""

# Their messages are written for users throughout the library. Anything else is a defect of the program and
# keeps its traceback.
_MESSAGES = (ValueError, RuntimeError, ArithmeticError, ImportError, MemoryError)


class OneLineErrors(click.Group):
    """A group that reports what a user can mend in one line; exit codes as in :mod:`fastrnn.cli`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and translate its errors."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # `fastrnn text generate … | head`: click ends the process quietly
        except (click.exceptions.Exit, click.Abort):
            raise  # click's own, which are RuntimeErrors
        except (OSError, *_MESSAGES) as error:
            if ctx.params.get("traceback") or isinstance(error, ModuleNotFoundError):
                raise
            kind = _NotInstalled if isinstance(error, MissingExtraError) else click.ClickException
            raise kind(_message(error)) from error


class _NotInstalled(click.ClickException):
    exit_code = 2


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
