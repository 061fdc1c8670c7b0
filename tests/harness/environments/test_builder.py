"""Environments are built whole or not at all, reused, shared, and never tell where they came from.

The real uv builds here, from tiny wheels made on the spot and without a network.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.environments import cache
from harness.environments.builder import (
    Environment,
    Unavailable,
    built,
    prepare,
    prepare_all,
    remove,
)
from harness.environments.framework_spec import FrameworkSpec, Library
from harness.environments.installer import human, uv_environment
from harness.environments.lockfiles import lock
from harness.paths import cache_folder
from tests.harness.environments.leftovers import left_over, script
from tests.wheels import wheel


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SAMESTEP_CACHE")
    assert cache_folder().name == "samestep"


def test_built_once_then_reused_listed_and_removed(spec: FrameworkSpec) -> None:
    told: list[tuple[str, str]] = []
    first = prepare(spec, "cpu", report=lambda name, text: told.append((name, text)))
    assert (first.framework, first.version, first.origin) == ("toy", "1.5", "built")
    assert first.lock == "cpu.txt"
    assert first.lock_hash == hashlib.sha256((spec.folder / "cpu.txt").read_bytes()).hexdigest()
    code = "import toyframe, sys; print(sys.prefix)"
    ran = subprocess.run([first.python, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(first.python.parent.parent)
    assert told[0] == ("toy", "building from cpu.txt")
    told.clear()
    again = prepare(spec, "cpu", report=lambda name, text: told.append((name, text)))
    assert replace(again, seconds=0) == replace(first, seconds=0)
    assert again.seconds < 1
    assert not told
    (shown,) = built()
    assert (shown.framework, shown.device, shown.version) == ("toy", "cpu", "1.5")
    assert shown.bytes > 0
    assert remove("another") == []
    assert remove("toy") == [shown.name]
    assert built() == [] and left_over() == []


def test_another_lock_is_another_environment(spec: FrameworkSpec, wheels: Path) -> None:
    first = prepare(spec, "cpu")
    path = spec.folder / "cpu.txt"
    path.write_text(wheel(wheels, "numpy", "2.0") + wheel(wheels, "toyframe", "1.6"))
    second = prepare(spec, "cpu")
    assert second.version == "1.6"
    assert first.python != second.python and first.python.exists()


def test_a_broken_environment_is_built_anew(spec: FrameworkSpec) -> None:
    first = prepare(spec, "cpu")
    first.python.unlink()
    assert prepare(spec, "cpu").python.exists()
    (first.python.parent.parent / "samestep.json").write_text("{}")
    assert prepare(spec, "cpu").version == "1.5"


def test_a_file_that_is_not_the_locked_one_is_refused(spec: FrameworkSpec, wheels: Path) -> None:
    wheel(wheels, "toyframe", "1.5", body="evil = True\n")
    with pytest.raises(Unavailable) as reason:
        prepare(spec, "cpu")
    assert "Hash mismatch" in str(reason.value)
    assert "\n" not in str(reason.value)
    assert built() == [] and left_over() == []


def test_what_no_index_offers_is_said_in_one_line(spec: FrameworkSpec, wheels: Path) -> None:
    (wheels / "toyframe-1.5-py3-none-any.whl").unlink()
    with pytest.raises(Unavailable) as reason:
        prepare(spec, "cpu")
    assert "toyframe" in str(reason.value) and "\n" not in str(reason.value)
    assert str(wheels) not in str(reason.value)


def test_the_next_lock_is_tried_when_one_is_not_offered(spec: FrameworkSpec) -> None:
    special = spec.folder / "special.txt"
    special.write_text("toyframe==1.5+special --hash=sha256:" + "0" * 64 + "\n")
    two = replace(spec, locks={"cpu": ("special.txt", "cpu.txt")})
    told: list[str] = []
    environment = prepare(two, "cpu", report=lambda name, text: told.append(text))
    assert environment.lock == "cpu.txt"
    assert any("special.txt" in text for text in told)


def test_a_failing_import_is_the_reason(spec: FrameworkSpec, wheels: Path) -> None:
    line = wheel(wheels, "toyframe", "1.7", body="raise OSError('libtoy.so.1 is not there')\n")
    (spec.folder / "cpu.txt").write_text(wheel(wheels, "numpy", "2.0") + line)
    with pytest.raises(Unavailable, match=r"import toyframe.*libtoy\.so\.1 is not there"):
        prepare(spec, "cpu")
    assert left_over() == []


def test_a_missing_library_is_named_with_its_mend(spec: FrameworkSpec) -> None:
    lacking = replace(spec, libraries=(Library("libnone.so.9", "apt install libnone9"),))
    with pytest.raises(Unavailable, match=r"libnone\.so\.9 is missing: apt install libnone9"):
        prepare(lacking, "cpu")
    with pytest.raises(Unavailable, match=r"libnone\.so\.9"):
        prepare(lacking, "cpu", interpreter=prepare(spec, "cpu").python)


def test_a_device_or_lock_that_is_not_there(spec: FrameworkSpec) -> None:
    with pytest.raises(Unavailable, match=r"not on cuda: CPU only: it is a toy\."):
        prepare(spec, "cuda")
    (spec.folder / "cpu.txt").unlink()
    with pytest.raises(Unavailable, match="env lock toy"):
        prepare(spec, "cpu")


def test_a_cache_that_cannot_be_used(
    spec: FrameworkSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "file"))
    with pytest.raises(Unavailable, match="set SAMESTEP_CACHE to another folder"):
        prepare(spec, "cpu")


def test_many_at_once_and_one_that_cannot(spec: FrameworkSpec) -> None:
    framework_specs = [
        spec,
        replace(spec, name="other"),
        replace(spec, name="no", devices=("cuda",)),
    ]
    found = prepare_all(framework_specs, "cpu")
    assert list(found) == ["toy", "other", "no"]
    assert isinstance(found["toy"], Environment) and isinstance(found["other"], Environment)
    assert isinstance(found["no"], Unavailable)


def test_a_lock_means_the_build_it_names_and_no_variant(spec: FrameworkSpec, wheels: Path) -> None:
    wheel(wheels, "toyframe", "1.5+cpu")
    exact = replace(spec, requirements={"cpu": ("toyframe===1.5", "numpy")})
    lock(exact)
    assert prepare(exact, "cpu").version == "1.5"


# --- an interpreter given ---------------------------------------------------------------------


def test_an_interpreter_given_is_taken_as_it_is(spec: FrameworkSpec) -> None:
    python = prepare(spec, "cpu").python
    given = prepare(spec, "cpu", interpreter=python)
    assert (given.origin, given.python, given.version) == ("given", python, "1.5")
    assert given.lock is None and given.lock_hash is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such program"),
        ("#!/bin/sh\necho 'what is -I' >&2; exit 2\n", "does not answer .* what is -I"),
        ("#!/nowhere/python\n", "cannot be run"),
        (
            '#!/bin/sh\necho \'{"python": [3, 9, 1], "versions": {}, "missing": []}\'\n',
            "is Python 3.9.1; give one of version 3.11",
        ),
        (
            '#!/bin/sh\necho \'{"python": [3, 11, 1], "versions": {}, "missing": []}\'\n',
            "has no numpy",
        ),
        (
            '#!/bin/sh\necho \'{"python": [3, 11, 1], "versions": {"numpy": "2"}, "missing": []}\'\n',
            "has no toyframe",
        ),
    ],
)
def test_an_interpreter_that_will_not_do(
    spec: FrameworkSpec, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "python-given"
    if text:
        script(path, text)
    with pytest.raises(Unavailable, match=said):
        prepare(spec, "cpu", interpreter=path)


# --- the user's own settings ---------------------------------------------------------------------


def test_pip_settings_are_said_in_uv_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = uv_environment(
        {
            "PIP_INDEX_URL": "https://one/simple",
            "PIP_EXTRA_INDEX_URL": "https://two/simple  https://three/simple",
            "PIP_FIND_LINKS": "wheels https://four/wheels",
            "PIP_CERT": "/certs/my bundle.pem",
            "PIP_TRUSTED_HOST": "one two:8080",
        }
    )
    assert said["UV_DEFAULT_INDEX"] == "https://one/simple"
    assert said["UV_INDEX"] == "https://two/simple https://three/simple"
    assert said["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert said["UV_FIND_LINKS"] == f"{tmp_path}/wheels,https://four/wheels"
    assert said["SSL_CERT_FILE"] == "/certs/my bundle.pem"
    assert said["UV_INSECURE_HOST"] == "one two:8080"


def test_uv_settings_win_over_pip_settings() -> None:
    mine = {"PIP_INDEX_URL": "https://pip", "UV_INDEX_URL": "https://uv"}
    assert uv_environment(mine) == mine


def test_settings_reach_uv_and_no_file(
    spec: FrameworkSpec, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    folder = prepare(spec, "cpu").python.parent.parent
    lock(spec)
    for path in (*folder.rglob("*"), spec.folder / "cpu.txt"):
        if path.is_file() and not path.is_symlink():
            assert str(wheels).encode() not in path.read_bytes(), path


def test_errors_tell_no_address(spec: FrameworkSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(Unavailable) as reason:
        prepare(spec, "cpu")
    assert "check the network" in str(reason.value)
    for word in ("secret", "127.0.0.1", "\n"):
        assert word not in str(reason.value)


def test_both_shapes_of_a_complaint_are_understood() -> None:
    new = "Using Python\nerror: No solution found\n  cause: Because toy is not there\n\nhint: no\n"
    old = "  × No solution found:\n  ╰─▶ Because toy is not there\n"  # noqa: RUF001 - uv's own
    for text in (new, old):
        assert human(text, {}).startswith("No solution found: Because toy is not there (the index")
    assert human(
        "Traceback\nOSError: gone from /my/wheels/x", {"PIP_FIND_LINKS": "/my/wheels"}
    ) == ("OSError: gone from <PIP_FIND_LINKS>/x")
    assert human("", {}) == "it failed without a message"


# --- locks ---------------------------------------------------------------------------------------


def test_a_lock_is_written_once_and_kept(spec: FrameworkSpec, wheels: Path) -> None:
    path = spec.folder / "cpu.txt"
    path.unlink()
    assert lock(spec) == [path]
    text = path.read_text()
    assert "toyframe===1.5" in text and "# via environment.toml" in text
    assert "://" not in text and str(wheels) not in text
    wheel(wheels, "numpy", "2.1")
    assert lock(spec) == []
    assert lock(spec, upgrade=True) == [path]
    assert "numpy===2.1" in path.read_text()
    assert prepare(spec, "cpu").version == "1.5"
    assert json.loads((cache.installed()[0] / "samestep.json").read_text())["lock"] == "cpu.txt"
