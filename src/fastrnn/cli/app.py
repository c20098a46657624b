"""The root command: help, version, and errors in one line."""

from __future__ import annotations

import click

from fastrnn.cli.demo import demo
from fastrnn.cli.errors import OneLineErrors
from fastrnn.cli.forecast import forecast
from fastrnn.cli.info import info, version
from fastrnn.cli.sentiment import sentiment
from fastrnn.cli.sequences import sequences
from fastrnn.cli.text import text

__all__ = ["app"]

_EPILOG = """\b
Exit codes: 0 success; 1 the work could not be done (unreadable file,
damaged model, text too short); 2 wrong usage or a missing extra;
130 interrupted.

\b
Completion of commands and options with the Tab key:
  bash  eval "$(_FASTRNN_COMPLETE=bash_source fastrnn)"   in ~/.bashrc
  zsh   eval "$(_FASTRNN_COMPLETE=zsh_source fastrnn)"    in ~/.zshrc
  fish  _FASTRNN_COMPLETE=fish_source fastrnn | source    in config.fish
"""


@click.group(cls=OneLineErrors, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", is_flag=True, help="Show the Python traceback of an error.")
@click.version_option(version(), prog_name="fastrnn")
def app(traceback: bool) -> None:
    """Recurrent neural networks on the CPU: training, generation, evaluation."""


app.add_command(demo)
app.add_command(forecast)
app.add_command(info)
app.add_command(sentiment)
app.add_command(sequences)
app.add_command(text)
