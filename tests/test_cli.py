"""The command line as a whole: help, completion, information, missing extras."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cli_cases import run
from click.testing import CliRunner

import fastrnn.tasks
from fastrnn import backend
from fastrnn.cli.app import app

TASKS = {
    "text": "TextGenerator",
    "sentiment": "SentimentClassifier",
    "forecast": "Forecaster",
    "sequences": "SequenceClassifier",
}
GROUPS = {
    "text": ["train", "generate", "evaluate"],
    "sentiment": ["train", "predict", "evaluate", "explain"],
    "forecast": ["train", "predict", "backtest"],
    "sequences": ["train", "predict", "evaluate"],
}

# Help


COMMANDS = [
    [],
    ["info"],
    ["demo"],
    *([group] for group in GROUPS),
    *([group, command] for group, commands in GROUPS.items() for command in commands),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal(command: list[str]) -> None:
    result = run(*command, "--help", terminal_width=80)
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    listed = result.output.split("Commands:")
    assert len(listed) == 1 or "..." not in listed[1]  # no shortened help


def test_all_commands_are_tested() -> None:
    assert {*app.commands} == {"demo", "info", *GROUPS}
    for group, commands in GROUPS.items():
        assert [*app.commands[group].commands] == commands  # type: ignore[attr-defined]


@pytest.mark.parametrize(("group", "task"), TASKS.items())
def test_help_of_training_shows_the_estimator_defaults(group: str, task: str) -> None:
    output = " ".join(run(group, "train", "--help", terminal_width=80).output.split())
    for name, value in getattr(fastrnn.tasks, task)().get_params().items():
        if name in ("checkpoint", "progress"):
            continue  # the command decides
        option = f"--{name.replace('_', '-')}"
        assert f"{option} " in output
        section = output.split(f"{option} ")[1].split(" --")[0]
        if isinstance(value, bool):
            assert f"[default: {'' if value else 'no-'}{option[2:]}]" in output
        elif isinstance(value, tuple):
            assert f"[default: {', '.join(map(str, value))}]" in section
        else:
            assert f"[default: {value}]" in section if value is not None else "[default: (" in section


def test_help_does_not_wait_for_scikit_learn() -> None:
    code = (
        "import sys; from fastrnn.cli.app import app; "
        "assert not {'sklearn', 'matplotlib', 'pandas', 'scipy', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def completions(line: str) -> str:
    """What a shell is told at the end of a line."""
    count = len(shlex.split(line)) - 1
    words = {"_FASTRNN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    result = CliRunner().invoke(app, [], prog_name="fastrnn", env=words, complete_var="_FASTRNN_COMPLETE")
    return result.output


def test_completion() -> None:
    words = {"_FASTRNN_COMPLETE": "bash_complete", "COMP_WORDS": "fastrnn te", "COMP_CWORD": "1"}
    code = "from fastrnn.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True
    )
    assert done.stdout == "plain,text\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv", "tweet,label\nx,y\n"), ("t.csv", "tweet;label"), ("t.jsonl", '{"tweet": "x", "label": 1}\n')],
)
def test_completion_of_columns(
    name: str, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content)
    assert completions(f"fastrnn sentiment train {name} --text tw") == "plain,tweet\n"
    assert completions(f"fastrnn sequences train {name} -o m --label l") == "plain,label\n"
    assert completions("fastrnn sentiment train absent.csv --text t").strip() == ""


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
