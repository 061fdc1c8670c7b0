"""Energy is what the counters counted, each once; never a guess."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.machine import energy, host
from harness.machine.energy import Meter, Reading

ZONES = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:2": "psys",
    "intel-rapl-mmio:0": "package-0",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a GPU and, until they are planted, without zones."""
    monkeypatch.setattr(host, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return tmp_path


def plant(root: Path, zones: dict[str, str]) -> None:
    for zone, name in zones.items():
        folder = root / energy.POWERCAP / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        count(root, 1_000_000, zone)


def count(root: Path, microjoules: int, zone: str) -> None:
    (root / energy.POWERCAP / zone / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_are_counted_once(root: Path) -> None:
    plant(root, ZONES)
    meter = Meter()
    assert (meter.sources, meter.reason) == (("RAPL package-0", "RAPL package-1"), None)
    before = meter.read()
    for zone in ZONES:
        count(root, 3_500_000, zone)
    assert meter.joules(before, meter.read()) == pytest.approx(5.0)


def test_a_counter_that_wraps(root: Path) -> None:
    plant(root, {"intel-rapl:0": "package-0"})
    meter = Meter()
    count(root, 262_143_000_000, "intel-rapl:0")
    before = meter.read()
    count(root, 1_000_000, "intel-rapl:0")
    assert meter.joules(before, meter.read()) == pytest.approx(1.32885)


def test_no_counter_no_joules_but_a_reason(root: Path) -> None:
    meter = Meter()
    assert (meter.sources, meter.read(), meter.joules(None, None)) == ((), None, None)
    assert meter.reason is not None and "no RAPL under /sys/class/powercap" in meter.reason


def test_counters_for_root_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(root, ZONES)
    read_text = Path.read_text

    def closed(path: Path, *args: str, **more: str) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path, *args, **more)

    monkeypatch.setattr(Path, "read_text", closed)
    meter = Meter()
    assert meter.sources == () and meter.reason is not None
    assert "root only" in meter.reason and "sudo chmod a+r" in meter.reason


def test_a_counter_that_goes_away(root: Path) -> None:
    plant(root, ZONES)
    meter = Meter()
    before = meter.read()
    (root / energy.POWERCAP / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.read() is None
    assert meter.joules(before, meter.read()) is None


def gpus(*millijoules: int | None) -> SimpleNamespace:
    def consumed(handle: int) -> int:
        found = millijoules[handle]
        if found is None:
            raise RuntimeError("Not Supported")
        return found

    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(millijoules),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=consumed,
    )


def test_gpus_that_count(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", gpus(None, 5000))
    meter = Meter()
    assert meter.sources == ("NVML GPU 1",)
    assert meter.read() == Reading((5.0,))
    assert meter.joules(Reading((5.0,)), Reading((7.5,))) == 2.5


def test_only_the_cards_of_a_run_are_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", gpus(1, 2, 3))
    assert Meter([1]).sources == ("NVML GPU 1",)
    assert Meter([]).sources == ()


def test_a_gpus_counter_that_was_set_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", gpus(1))
    assert Meter().joules(Reading((5.0,)), Reading((0.1,))) is None
