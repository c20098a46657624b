"""Settings that every test shares."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# Examples do not depend on the run, so that a failure is the change's and not the day's. A deadline would
# measure the machine. `--hypothesis-profile=explore` looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile("repeatable")

# No test opens a window.
os.environ["MPLBACKEND"] = "Agg"

# Whoever starts this in the background of a shell without job control has it ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def told(request: pytest.FixtureRequest) -> list[str]:
    """Lines to show at the end of the run, whether or not anything failed."""
    return request.config.stash.setdefault(TOLD, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)
