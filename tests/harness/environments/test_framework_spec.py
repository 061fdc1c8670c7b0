"""What `environment.toml` may say, how a wrong one is refused, and that the committed ones hold."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.environments.framework_spec import FrameworkSpec, FrameworkSpecError, discover, load
from harness.paths import project_root

GOOD = """
title = "Toy"
python = "3.11"
package = "toy"
module = "toy"
modes = ["slow", "fast"]
devices = ["cpu"]
limits = ["It is a toy."]

[only]
slow = ["cuda"]

[requirements]
cpu = ["toy==1"]

[variables]
TOY_THREADS = "{threads}"
TOY_CACHE = "{scratch}/toy on {device}"

[deterministic]
TOY_CACHE = "{scratch}/the same"

[[libraries]]
name = "libtoy.so.1"
mend = "apt install libtoy1"
platform = "linux"

[[programs]]
name = "toy-compiler"
mend = "apt install toy-compiler"
modes = ["fast"]
variable = "TOYC"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "frameworks" / "toy" / "environment.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_spec_is_read_whole(write: Callable[[str], Path], tmp_path: Path) -> None:
    write(GOOD)
    spec = discover(tmp_path)["toy"]
    assert (spec.title, spec.python, spec.packages) == ("Toy", "3.11", ("toy",))
    assert spec.modes == ("slow", "fast")
    assert (spec.modes_on("cpu"), spec.modes_on("cuda:1")) == (("fast",), ("slow", "fast"))
    assert not spec.reference
    assert spec.lock_paths("cpu") == (spec.folder / "cpu.txt",)
    assert spec.libraries[0].name == "libtoy.so.1"


def test_a_worker_gets_its_threads_scratch_and_device(write: Callable[[str], Path]) -> None:
    spec = load(write(GOOD))
    variables = spec.worker_variables(device="cpu", threads=3, scratch=Path("/s"))
    assert variables["TOY_THREADS"] == "3"
    assert variables["TOY_CACHE"] == "/s/toy on cpu"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""
    assert (
        spec.worker_variables(device="cuda:1", threads=3, scratch=Path("/s")).items()
        >= {
            "TOY_CACHE": "/s/toy on cuda",
            "CUDA_VISIBLE_DEVICES": "1",
        }.items()
    )
    same = spec.worker_variables(device="cpu", threads=3, scratch=Path("/s"), deterministic=True)
    assert same == {**variables, "TOY_CACHE": "/s/the same"}


def test_a_mode_says_which_program_it_lacks(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load(write(GOOD))
    assert spec.missing_program("slow") is None
    assert "apt install toy-compiler" in str(spec.missing_program("fast"))
    monkeypatch.setenv("TOYC", sys.executable)
    assert spec.missing_program("fast") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "Toy"', "", 'the key "title" is missing'),
        ('title = "Toy"', "title = 3", "title = 3: expected a text"),
        ('title = "Toy"', 'title = ""', "title = '': expected a text that is not empty"),
        ('python = "3.11"', 'python = "three"', "python = 'three': expected a version such as"),
        ("limits = ", "limit = ", 'unknown key "limit" (did you mean "limits"?); allowed: '),
        ("limits = ", "zzz = ", 'unknown key "zzz"; allowed: title, python'),
        ('devices = ["cpu"]', 'devices = ["tpu"]', "devices = 'tpu': not known"),
        ('devices = ["cpu"]', 'devices = ["cpu", "cpu"]', "and none twice"),
        ('devices = ["cpu"]', 'devices = ["cuda"]', "locks.cuda = 'cuda.txt': not known (did you"),
        ('"slow", "fast"', "", "modes = []: expected at least one text"),
        ('"slow", "fast"', '"Slow"', "modes = 'Slow': expected words of small letters"),
        ("{threads}", "{thread}", "placeholder = 'thread': not known (did you mean \"threads\"?)"),
        ("TOY_THREADS =", "TOY-THREADS =", "'TOY-THREADS' is no name for an environment variable"),
        (
            'TOY_THREADS = "{threads}"',
            "TOY_THREADS = 3",
            "variables.TOY_THREADS = 3: expected a text",
        ),
        ('platform = "linux"', 'platform = "lynx"', "libraries[0]: platform = 'lynx': not known"),
        ('modes = ["fast"]', 'modes = ["quick"]', "programs: modes = 'quick': not known"),
        ('variable = "TOYC"', 'varable = "TOYC"', '(did you mean "variable"?)'),
        ("[requirements]", "[requirements", "is not valid TOML"),
        ('cpu = ["toy==1"]', "cpu = [1]", "requirements.cpu = 1: expected a text"),
        ('cpu = ["toy==1"]', '"../x" = ["toy==1"]', "names a lock file"),
        ("[[libraries]]", "[libraries]", "libraries: expected a list of tables"),
        ("[variables]", "[locks]\ncuda = ['cpu.txt']\n[variables]", "locks = 'cuda': not known"),
        ("[variables]", "[drivers]\nrocm = '6'\n[variables]", "drivers = 'rocm': not known"),
        (
            "[variables]",
            "[drivers]\ncpu = 'new'\n[variables]",
            "drivers.cpu = 'new': expected a version",
        ),
        (
            "[variables]",
            "[[releases]]\nbelow = '1'\n[variables]",
            "releases: below 1: requirements is",
        ),
        ("modes =", "reference = 1\nmodes =", "true or false"),
        ("slow = [", "slw = [", '(did you mean "slow"?)'),
        ('["cuda"]', '["tpu"]', "only.slow = 'tpu': not known"),
    ],
)
def test_a_wrong_spec_says_where_and_what(
    write: Callable[[str], Path], old: str, new: str, said: str
) -> None:
    assert old in GOOD
    with pytest.raises(FrameworkSpecError) as error:
        load(write(GOOD.replace(old, new, 1)))
    assert said in str(error.value)
    assert str(error.value).startswith("toy/environment.toml")


COMMITTED = discover(project_root())


@pytest.mark.parametrize("spec", COMMITTED.values(), ids=COMMITTED)
def test_committed_locks_are_whole_and_name_no_place(spec: FrameworkSpec) -> None:
    for name, requirements in spec.requirements.items():
        text = (spec.folder / f"{name}.txt").read_text(encoding="utf-8")
        pins = re.findall(r"^([a-z0-9-]+)===\S+", text, flags=re.MULTILINE)
        for requirement in requirements:
            wanted = re.match(r"[a-z0-9-]+", requirement)
            assert wanted and wanted[0] in pins
        assert len(pins) == len(set(pins))
        for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
            assert "--hash=sha256:" in block
        assert "://" not in text
        assert not re.search(r"(^|\s)(/|file:|-[if] |--(?!hash=))", text)


def test_one_committed_framework_is_the_reference() -> None:
    assert sum(spec.reference for spec in COMMITTED.values()) == 1
