"""Settings that every test shares."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from hypothesis import settings

# Examples do not depend on the run, so that a failure is the change's and not the day's. A deadline would
# measure the machine. `--hypothesis-profile=explore` looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("repeatable")

# No test opens a window.
os.environ["MPLBACKEND"] = "Agg"


class NoPyTorch(MetaPathFinder):
    """Keeps the folder tests/torch from passing for PyTorch where that is not installed.

    This directory is on sys.path, where any folder can be imported, and SciPy looks for tensors in what was.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return None


try:
    importlib.metadata.version("torch")
except importlib.metadata.PackageNotFoundError:
    sys.meta_path.insert(0, NoPyTorch())
