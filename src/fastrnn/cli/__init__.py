"""The ``fastrnn`` command.

This module is imported by the entry point and therefore by everybody who types ``fastrnn``; it needs
nothing beyond the standard library, so that a missing extra is one readable line.

Exit codes: 0 success; 1 the command could not do its work (unreadable file, damaged model, text too
short); 2 wrong usage, or an extra that is not installed; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_EXTRA = frozenset({"click", "rich", "sklearn", "pandas", "matplotlib"})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the entry point of ``fastrnn`` and ``python -m fastrnn``.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; those of the process by default.

    Raises
    ------
    SystemExit
        Always, with the exit code described in this module's docstring.
    """
    try:
        from fastrnn.cli.app import app

        app.main(args=None if arguments is None else list(arguments), prog_name="fastrnn")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        print(
            f"fastrnn: the command line needs the package {package!r}, which is not installed: "
            "pip install 'fastrnn[tasks]'",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
