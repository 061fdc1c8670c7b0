"""One cell's profile, from its name to its trace, with the toys."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.profile import show
from harness.environments.builder import Unavailable
from harness.environments.framework_spec import discover
from harness.results.store import StoreError
from harness.runner import profile as room
from workloads.reading import SpecError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


def profile(text: str, root: Path, interpreters: dict[str, Path], out: Path) -> room.Profiled:
    return room.profile(text, out, lambda said: None, interpreters=interpreters, root=root)


def test_a_profile_leaves_a_trace_and_nothing_else(
    toy_root: Path, toy_interpreters: dict[str, Path], tmp_path: Path
) -> None:
    found = profile("mlp-2-3-2/faulty/well", toy_root, toy_interpreters, tmp_path / "out")
    assert found.cell.id == "mlp-2-3-2/faulty/well/cpu/float32"
    assert found.trace.read_text() == '{"traceEvents": []}'
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [found.trace]
    assert [one["name"] for one in found.operators] == ["[long]", "short"]
    assert found.operators[1]["calls"] == found.steps == room.STEPS


def test_the_table_shows_the_longest_first_and_is_never_wider_than_the_terminal(
    toy_root: Path, toy_interpreters: dict[str, Path], tmp_path: Path
) -> None:
    found = profile("mlp-2-3-2/faulty/well", toy_root, toy_interpreters, tmp_path / "out")
    many = [{**found.operators[0], "name": f"op {i} " + "x" * 200} for i in range(20)]
    for operators, says in ((found.operators, "[long]"), (many, "5 more, 25.0% of self time")):
        console = Console(width=80, record=True, file=(tmp_path / "shown").open("w"))
        show(room.Profiled(found.cell, 10, found.trace, operators), console)
        text = console.export_text()
        assert says in text
        assert max(map(len, text.splitlines())) <= 80
        assert "1 3.000 3.000" in " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mlp-2-3-1/faulty/well", 'did you mean "mlp-2-3-2"'),
        ("mlp-2-3-2/fawlty/well", 'did you mean "faulty"'),
        ("mlp-2-3-2/faulty/wel", 'no mode "wel" (did you mean "well"?)'),
        ("mlp-2-3-2/faulty/well/gpu", "known: cpu, cuda"),
        ("mlp-2-3-2/faulty/well/cpu/float64", 'did you mean "float32"'),
        ("mlp-2-3-2/faulty", "give workload/framework/mode"),
        ("mlp-2-3-2/faulty/well/cpu/float32/x", "give workload/framework/mode"),
    ],
)
def test_a_wrong_name_gets_the_nearest(toy_root: Path, text: str, says: str) -> None:
    with pytest.raises(SpecError) as error:
        room.find(text, discover(toy_root))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mlp-2-3-2/reference/numpy", "unavailable: Reference has no profiler"),
        ("mlp-2-3-2/faulty/raises", "failed: ValueError: a |strange|"),
        ("mlp-2-3-2/faulty/segfault", "crashed: profile: the worker was killed by SIGSEGV"),
        ("mlp-2-3-2/faulty/well/cuda", "no cuda device"),
    ],
)
def test_what_cannot_be_profiled_is_said_in_one_line(
    toy_root: Path, toy_interpreters: dict[str, Path], tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(Unavailable) as error:
        profile(text, toy_root, toy_interpreters, tmp_path / "out")
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    if (log := str(error.value).rpartition("its log: ")[2]).endswith(".log"):
        assert Path(log).is_file()


def test_a_folder_that_cannot_be_made_is_said(toy_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="--out"):
        profile("mlp-2-3-2/faulty/well", toy_root, {}, tmp_path / "file")
