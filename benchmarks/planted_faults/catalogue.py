"""All planted faults by name: FirstBatchAgain is first-batch-again."""

from __future__ import annotations

import re

from .fault import Fault
from .inference import INFERENCE
from .lists import LISTS
from .training import TRAINING

HONEST = "honest"


def _words(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


FAULTS: dict[str, type[Fault]] = {HONEST: Fault}
"""The honest adapter and every fault, by the mode of the planted framework."""

FAULTS |= {_words(fault.__name__): fault for fault in (*TRAINING, *LISTS, *INFERENCE)}
