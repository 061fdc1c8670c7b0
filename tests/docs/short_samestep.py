"""`samestep` as a page calls it, with short measurements: a program of the tests of the how-tos.

    python short_samestep.py PROJECT LOG ARGUMENT...

Runs the command line of PROJECT and appends the arguments and the exit status to LOG. Where LENIENT is
set, it succeeds with any status that a page's reader may see.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path

VERDICTS = {"check": {0, 1, 3}, "bisect": {0, 1, 3}, "doctor": {0, 1}, "profile": {2}}
"""The exit statuses that a page's commands may have, unless it is 0. Toys have no profiler."""

BUDGET = f"--budget={os.environ.get('BUDGET', '1s')}"

SHORT = {
    ("run",): ["--steps=20"],
    ("check",): ["--steps=20", BUDGET],
    ("baseline", "save"): ["--steps=20"],
    ("bisect",): [BUDGET],
}


def shorten() -> None:
    """Let everything that is timed be short: the figures mean nothing then."""
    from harness.gate import request as gate
    from harness.machine.interference import Watch
    from harness.runner import request
    from harness.runner.context import Measuring

    brief = {
        "rounds": 3,
        "seconds": 0.02,
        "warm_seconds": 0.01,
        "warm_portions": 12,
        "untimed_seconds": 0.02,
    }
    request.Measuring = lambda **fields: Measuring(**fields | brief, launches=2)
    request.QUICK = replace(request.QUICK, **brief)
    gate.CAPTURE = replace(gate.CAPTURE, launches=3, **brief)
    Watch.noise = lambda self: []  # slices are too short to judge it by


def short(arguments: list[str]) -> list[str]:
    """Return the options that shorten a command; of an option given twice the last one counts."""
    options = [
        option
        for command, options in SHORT.items()
        if arguments[: len(command)] == [*command]
        for option in options
    ]
    return [*options, BUDGET] if "--budget" in arguments else options


def main() -> None:
    """Run one command."""
    project, log, *arguments = sys.argv[1:]
    sys.path.insert(0, project)
    shorten()
    sys.argv = ["samestep", *arguments, *short(arguments)]
    try:
        runpy.run_path(str(Path(project, "cli.py")), run_name="__main__")
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
    with Path(log).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps([arguments, status]) + "\n")
    lenient = "LENIENT" in os.environ and status in VERDICTS.get(arguments[0], {0})
    sys.exit(0 if lenient else status)


main()
