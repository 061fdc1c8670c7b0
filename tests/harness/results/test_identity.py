"""Which runs computed the same, and which machines are alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.machine import host
from harness.results import identity
from harness.results.store import Record

KNOWN = {
    "os": "Ubuntu 24.04.1 LTS",
    "kernel": "6.8.0-45-generic",
    "architecture": "x86_64",
    "cpu": "AMD EPYC 9354 32-Core Processor",
    "cores_logical": 64,
    "cores_usable": 2.0,
    "memory_total": 15.6 * 2**30,
    "memory_limit": None,
    "load": [0.4, 0.5, 0.6],
    "gpus": [],
}


@pytest.mark.parametrize(
    "moment",
    [
        {"load": [9.0, 9.0, 9.0], "memory_available": 5, "mhz": 1, "swap_used": 7},
        {"cores_usable": 2},
        {"memory_total": 15.2 * 2**30},
        {"os": "Ubuntu 24.04.3 LTS", "kernel": "6.8.0-60-generic"},
        {"no_gpu_because": "no driver"},
    ],
)
def test_a_machine_keeps_its_fingerprint(moment: dict) -> None:
    other = KNOWN | moment
    assert identity.fingerprint(other) == identity.fingerprint(KNOWN) != ""
    assert identity.unlike(KNOWN, other) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cpu": "Xeon"}, "processor: AMD EPYC 9354 32-Core Processor, then Xeon"),
        ({"cores_usable": 1.5}, "usable cores: 2, then 1.5"),
        ({"memory_total": 31 * 2**30}, "memory: about 16 GiB, then about 32 GiB"),
        ({"memory_limit": 6 * 2**30}, "memory: about 16 GiB, then about 6 GiB"),
        ({"gpus": [{"name": "H100", "driver": "1"}] * 2}, "GPUs: none, then H100, H100"),
        ({"os": "Ubuntu 26.04 LTS"}, "system: Ubuntu 24.04, then Ubuntu 26.04"),
        ({"architecture": None}, "architecture: x86_64, then unknown"),
    ],
)
def test_unlike_machines_have_other_fingerprints_and_it_is_said_why(
    change: dict, words: str
) -> None:
    other = KNOWN | change
    assert identity.fingerprint(other) != identity.fingerprint(KNOWN)
    assert identity.unlike(KNOWN, other) == [words]


def test_a_machine_of_which_nothing_is_known_is_like_no_other() -> None:
    assert identity.fingerprint({}) == identity.fingerprint(KNOWN | {"cpu": None}) == ""
    assert len(identity.unlike({}, KNOWN)) == 5


def test_this_machine_has_a_fingerprint_that_outlives_the_manifest() -> None:
    told = host.describe() | {"cpu": "some processor"}
    assert identity.fingerprint(json.loads(json.dumps(told))) == identity.fingerprint(told)
    assert len(identity.fingerprint(told)) == 12


@pytest.mark.parametrize(
    ("change", "device", "words"),
    [
        ({"kernel": "7.0"}, "cpu", ["kernel: 6.8.0-45-generic, then 7.0"]),
        ({"governor": "powersave"}, "cpu", ["governor: unknown, then powersave"]),
        ({"gpus": [{"name": "H100", "driver": "2"}]}, "cpu", []),
        ({"gpus": [{"name": "H100", "driver": "2"}]}, "cuda:0", ["driver: 1, then 2"]),
    ],
)
def test_absolute_speeds_ask_for_more_of_a_machine(
    change: dict, device: str, words: list[str]
) -> None:
    card = KNOWN | {"gpus": [{"name": "H100", "driver": "1"}]}
    assert identity.unlike(card, card | change) == []
    assert identity.unlike(card, card | change, device) == words


def record(folder: str = "run", data: Any = "ab", **manifest: Any) -> Record:
    spec = {"title": "Toy", "loss": "mse"}
    event = {"event": "dataset", "workload": "toy", "sha256": data and {"inputs": data}}
    return Record(Path(folder), {"workloads": {"toy": spec}, **manifest}, (event,), pd.DataFrame())


def test_the_same_computation_whatever_its_title_and_its_folder() -> None:
    other = record("other", workloads={"toy": {"title": "Another", "loss": "mse"}}, options={})
    assert identity.computation(other, "toy") == identity.computation(record(), "toy")


@pytest.mark.parametrize(
    ("changes", "same_mathematics"),
    [
        ({"workloads": {"toy": {"title": "Toy", "loss": "cross-entropy"}}}, False),
        ({"data": "cd"}, False),
        ({"options": {"steps": 7}}, True),
        ({"options": {"deterministic": True}}, True),
    ],
)
def test_another_computation(changes: dict[str, Any], same_mathematics: bool) -> None:
    one, other = (identity.computation(each, "toy") for each in (record(), record(**changes)))
    assert one.ground != other.ground
    assert one.same_mathematics(other) == same_mathematics


def test_data_that_no_hash_vouches_for_is_no_other_runs() -> None:
    one, same, other = (
        identity.computation(record(folder, data=None), "toy") for folder in ("a", "a", "b")
    )
    assert one == same and not one.same_mathematics(other)
