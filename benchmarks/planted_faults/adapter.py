"""Another framework's adapter, under modes that are faults planted in it; one mode is honest.

The host is told by the worker's environment: PLANTED_IN is its folder's name, PLANTED_MODE its mode.
"""

from __future__ import annotations

import os
from dataclasses import replace

import frameworks
from frameworks.contract import Options, Weights
from workloads.spec import Workload

from .catalogue import FAULTS
from .fault import Fault

HOST = frameworks.adapter(os.environ["PLANTED_IN"])


class Planted(Fault):
    """The host's adapter with the fault that the mode names."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        hosted = replace(options, mode=os.environ["PLANTED_MODE"])
        self.inner = FAULTS[options.mode](HOST, workload, weights, hosted)

    @staticmethod
    def versions() -> dict[str, str]:
        return HOST.versions()
