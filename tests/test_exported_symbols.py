"""The extension module shows the process one symbol: its initialisation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from fastrnn import _core

NM = shutil.which("nm")


def defined_dynamic_symbols(path: str) -> set[str]:
    """Names that a shared object offers to whoever loads it."""
    assert NM is not None
    options = ["-gU"] if sys.platform == "darwin" else ["-D", "--defined-only"]
    listing = subprocess.run([NM, *options, path], capture_output=True, text=True, check=True).stdout
    # macOS puts an underscore before every C name.
    return {
        name.removeprefix("_" if sys.platform == "darwin" else "")
        for name in re.findall(r"^[0-9a-fA-F]+ \w (\S+)$", listing, re.MULTILINE)
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows exports nothing that is not asked for")
@pytest.mark.skipif(NM is None, reason="nm (binutils) is not installed")
def test_only_the_module_initialisation_is_exported() -> None:
    symbols = defined_dynamic_symbols(_core.__file__)
    # An auditing or sanitizing linker may add its own.
    assert {name for name in symbols if not name.startswith(("__", "_init", "_fini"))} == {"PyInit__core"}
