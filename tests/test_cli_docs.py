"""Every console block of docs/command_line.md prints what it says."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from cli_cases import run

PAGE = Path(__file__).parents[1] / "docs" / "command_line.md"
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def commands(page: str) -> list[tuple[str, str]]:
    """Command lines, and the output that the page shows for each."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append((line, output))
    return found


def execute(line: str) -> str:
    """What a command line prints, errors included."""
    words = shlex.split(line)
    if words[0] == "fastrnn":
        return run(*words[1:], terminal_width=80).output
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.skipif(not PAGE.is_file(), reason="needs the source tree")
def test_console_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testfile(str(PAGE), module_relative=False, optionflags=OPTIONS)
    assert failed == 0  # the files of the examples are written by the Python in the page
    checker = doctest.OutputChecker()
    shown = commands(PAGE.read_text("utf-8"))
    assert len(shown) > 10
    for line, expected in shown:
        output = execute(line)
        example = doctest.Example(line, expected)
        assert checker.check_output(expected, output, OPTIONS), checker.output_difference(
            example, output, OPTIONS
        )
