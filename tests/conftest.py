"""Settings that every test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

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


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a line to show at the end of the run, whether or not anything failed."""
    return lambda line: request.node.user_properties.append(("told", line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Reports come from other processes too, with what was told there.
    for report in terminalreporter.getreports(""):
        for name, line in report.user_properties if report.when == "call" else ():
            if name == "told":
                terminalreporter.write_line(line)
