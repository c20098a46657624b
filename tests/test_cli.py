"""The command line as a whole: help, completion, information, missing extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cli_cases import run

from fastrnn import backend
from fastrnn.tasks import TextGenerator

# Help


@pytest.mark.parametrize(
    "command",
    [[], ["info"], ["demo"], ["text"], ["text", "train"], ["text", "generate"], ["text", "evaluate"]],
)
def test_help_fits_a_terminal(command: list[str]) -> None:
    result = run(*command, "--help", terminal_width=80)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.split("Commands:")[-1].split("[FILE]...")[-1]  # no shortened help


def test_help_of_training_shows_the_estimator_defaults() -> None:
    output = " ".join(run("text", "train", "--help", terminal_width=80).output.split())
    for name, value in TextGenerator().get_params().items():
        if name in ("checkpoint", "progress"):
            continue  # the command decides
        assert f"--{name.replace('_', '-')} " in output
        section = output.split(f"--{name.replace('_', '-')} ")[1].split(" --")[0]
        assert f"[default: {value}]" in section if value is not None else "[default: (" in section


def test_help_does_not_wait_for_scikit_learn() -> None:
    code = (
        "import sys; from fastrnn.cli.app import app; assert not {'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_completion() -> None:
    words = {"_FASTRNN_COMPLETE": "bash_complete", "COMP_WORDS": "fastrnn te", "COMP_CWORD": "1"}
    code = "from fastrnn.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True
    )
    assert done.stdout == "plain,text\n"


# info


def test_info() -> None:
    facts = json.loads(run("info", "--json").output)
    assert facts["backend"] == backend.current_backend()
    assert facts["version"] == run("--version").output.split()[-1]
    output = run("info").output
    for name in ("version", "isa", "available isas", "threads", "numpy"):
        assert name in output


def test_info_without_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    with backend.use_backend("reference"), monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fastrnn._core", None)
        facts = json.loads(run("info", "--json").output)
    assert facts["isa"] is None
    assert "fastrnn._core" in facts["engine"]
