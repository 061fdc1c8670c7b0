"""Defaults that the command line shows and other modules use; imports nothing, so that help is quick."""

from __future__ import annotations

PARITY_STEPS = 20
"""Steps that the parity check compares."""

PRECISION = 0.03
"""Half the width of a ratio's interval, as a part of the ratio, at which a run has measured enough."""

WORKLOAD_SECONDS = 120.0
"""Budget of a run for the timed rounds of each workload."""

BISECT_SECONDS = 120.0
"""Budget for the timed rounds of one measurement of a bisection;
where they leave it open, as much again."""
