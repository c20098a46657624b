"""What an installation promises before the first number is computed."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import fastrnn

ROOT = Path(__file__).parents[1]

# Slow to import, or not there in a plain installation.
HEAVY = {"click", "matplotlib", "onnx", "pandas", "rich", "safetensors", "scipy", "sklearn", "torch"}


def run_python(code: str) -> Any:
    """Run code in a fresh interpreter and return the JSON it prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_import_is_light() -> None:
    loaded = run_python("import fastrnn, json, sys; print(json.dumps(list(sys.modules)))")
    assert "fastrnn" in loaded
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in loaded)


def test_a_forward_pass_is_light() -> None:
    code = """
import json, sys
import numpy as np
import fastrnn
fastrnn.LSTM(2, 3)(np.zeros((4, 1, 2), np.float32))
print(json.dumps(list(sys.modules)))
"""
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in run_python(code))


def test_every_module_can_be_the_first_import() -> None:
    names = [module.name for module in pkgutil.walk_packages(fastrnn.__path__, "fastrnn.")]
    names.remove("fastrnn.__main__")
    assert len(names) > 20
    code = f"""
import importlib, json, sys
for name in {names!r}:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "fastrnn"]:
        del sys.modules[loaded]
    importlib.import_module(name)
print(json.dumps(name))
"""
    assert run_python(code) == names[-1]


def test_exported_names_exist() -> None:
    assert fastrnn.__all__
    missing = [name for name in fastrnn.__all__ if not hasattr(fastrnn, name)]
    assert missing == []
    assert set(fastrnn.__all__) <= set(dir(fastrnn))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = fastrnn.no_such_name  # type: ignore[attr-defined]


def test_version_is_the_metadata_version() -> None:
    assert importlib.metadata.version("fastrnn") == fastrnn.__version__


def test_package_is_typed() -> None:
    files = {path.name for path in importlib.resources.files("fastrnn").iterdir()}
    assert {"py.typed", "_core.pyi"} <= files


def test_command_is_installed() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="fastrnn")
    assert callable(command.load())


@pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="needs the source tree")
def test_every_supported_python_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {text.rpartition(" ")[2] for text in project["classifiers"] if " :: Python :: 3." in text}
    assert declared == {"3.11", "3.12", "3.13", "3.14"}
