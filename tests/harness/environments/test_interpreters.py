"""Pythons that are to be had, and releases that need another than the one locked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.environments import builder, interpreters, releases, variants
from harness.environments.framework_spec import load
from harness.environments.interpreters import Interpreter
from tests.wheels import publish, wheel

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [it for it in interpreters.by_preference(OWN)[1:] if it.path]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What uv lists depends on variables that tests set."""
    interpreters._uv.cache_clear()
    yield
    interpreters._uv.cache_clear()


def listing(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any]) -> None:
    usual = {"implementation": "cpython", "variant": "default", "path": None}
    text = json.dumps([{**usual, **entry} for entry in entries])
    monkeypatch.setattr(interpreters, "run", lambda *a, **k: (0, text, ""))


def test_those_that_are_here_come_before_those_to_be_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing(
        monkeypatch,
        {"version": "3.16.0a2"},
        {"version": "3.14.1"},
        {"version": "3.13.2"},
        {"version": "3.13.0", "path": "/usr/bin/python3.13"},
        {"version": "3.13.0", "path": "/free", "variant": "freethreaded"},
        {"version": "3.12.1", "path": "/pypy", "implementation": "pypy"},
        {"version": "3.10.1", "path": "/usr/bin/python3.10"},
    )
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    known = interpreters.available()
    assert known.pop(OWN) == Interpreter(OWN, sys.executable)
    assert known == {
        "3.13": Interpreter("3.13", "/usr/bin/python3.13"),
        "3.14": Interpreter("3.14", None),
    }
    assert [it.request for it in interpreters.by_preference(OWN)] == [
        sys.executable,
        "/usr/bin/python3.13",
        "3.14",
    ]


def test_pyenv_s_pythons_are_known_though_its_shims_do_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listing(monkeypatch)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    for patch in ("3.12.1", "3.12.10", "3.6.15", "2.7.18"):
        program = tmp_path / "versions" / patch / "bin" / f"python{patch.rpartition('.')[0]}"
        program.parent.mkdir(parents=True)
        program.touch()
    path = str(tmp_path / "versions" / "3.12.10" / "bin" / "python3.12")
    assert interpreters.available() == {
        OWN: Interpreter(OWN, sys.executable),
        "3.12": Interpreter("3.12", path),
    }


def test_uv_that_cannot_be_asked_leaves_this_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(interpreters, "run", lambda *a, **k: (2, "", "error: no"))
    assert list(interpreters.available()) == [OWN]


needs_another = pytest.mark.skipif(not OTHERS, reason="there is one Python here")


@needs_another
def test_a_release_for_another_python_is_built_on_it_and_found_again(
    versions_root: Path, wheels: Path
) -> None:
    other = OTHERS[0]
    # numpy is the other Python's neither: what `basis` names is built for this one.
    wheel(wheels, "basis", "1.1", more={"numpy.py": ""})
    publish(wheels, "1.1", python=f"=={other.version}.*")
    arm = variants.choose(["toy@1.1"], versions_root)["toy@1.1"]
    lines: list[str] = []
    environment = builder.prepare(arm, "cpu", report=lambda name, text: lines.append(text))
    assert environment.version == "1.1"
    assert f"not offered for Python {OWN}" in lines
    assert f"python{other.version}" in {path.name for path in environment.python.parent.iterdir()}
    again: list[str] = []
    assert builder.prepare(arm, "cpu", report=lambda name, text: again.append(text)).python
    assert again == []


@needs_another
def test_releases_are_listed_for_every_python(versions_root: Path, wheels: Path) -> None:
    publish(wheels, "1.1", python=f"=={OTHERS[0].version}.*")
    toy = load(versions_root / "frameworks" / "toy" / "environment.toml")
    assert list(map(str, releases.versions(toy))) == ["1.0", "1.1"]


def test_a_release_for_no_python_that_is_here_names_it(versions_root: Path, wheels: Path) -> None:
    publish(wheels, "1.1", python=">=3.99")
    arm = variants.choose(["toy@1.1"], versions_root)["toy@1.1"]
    with pytest.raises(builder.Unavailable, match=r"it needs Python >=3\.99") as caught:
        builder.prepare(arm, "cpu")
    assert f"tried on Python {OWN}" in str(caught.value)
