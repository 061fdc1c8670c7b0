"""A stored run with one field damaged: each command prints one line, or what it always prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from harness.commands import check
from harness.results import fit, store, tables
from harness.results.manifest_types import Manifest
from tests.damaged import all_damages, damage, damageable_run, damaged, drawn_damages, parts

SEED, COUNT = 20261127, 12

COMMANDS = [
    *(["report", "{}", "--format", form] for form in ("table", "md", "html", "json", "csv")),
    ["compare", "{}", "{other}"],
    ["compare", "{other}", "{}", "--format", "json"],
    ["history"],
    ["list", "results"],
    ["baseline", "save", "kept", "--run", "{}"],
    ["check", "--baseline", "{}", "--framework", "pytorch,jax"],
]


class Measured(Exception):
    """A check has read all of what it compares with, and would measure now."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damageable_run(tmp_path_factory.mktemp("whole"))


def measured(*arguments: object, **options: object) -> None:
    raise Measured


def outcome(results: Path, command: list[str]) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, [*command, "--out", str(results)])
    if not isinstance(result.exception, None.__class__ | SystemExit | Measured):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("number", range(COUNT))
def test_no_damage_gives_a_traceback(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(check, "conduct", measured)
    results = tmp_path / "results"
    folder, other = results / "20261127T000000Z-aaaa", results / "20261127T000000Z-bbbb"
    for copy in (folder, other):
        shutil.copytree(whole, copy)
    readable = [
        place for place in drawn_damages(whole, SEED, 40 * COUNT) if _is_read(whole, *place)
    ]
    name = damage(folder, *readable[number])
    for command in COMMANDS:
        words = [word.format(folder.name, other=other.name) for word in command]
        try:
            status, output = outcome(results, words)
        except Exception as error:
            raise AssertionError(f"{name}: {' '.join(words)}") from error
        assert output.strip() or status != 0, (name, words)
        if status == 2:
            assert output.count("\n") <= 2 and output.startswith("Error: "), (name, words)


def _is_read(whole: Path, number: int, place: tuple[str | int, ...], new: object) -> bool:
    """Whether a damage gets past the first look at a run: the others are refused by it in one line."""
    part = parts(whole)[number]
    changed = damaged(part, place, new)
    if number == 0:
        return isinstance(changed.get("schema"), int) and not fit.misfit(changed, Manifest)
    is_slice = part["event"] in tables.SLICES  # read whatever they hold
    return isinstance(changed.get("event"), str) and (is_slice or not fit.event_misfit(changed))


def test_every_wrong_type_is_named_with_its_file_line_and_field(
    whole: Path, tmp_path: Path
) -> None:
    refused = [place for place in all_damages(whole) if not _is_read(whole, *place)]
    assert len(refused) > 1000
    for place, (number, path, new) in enumerate(drawn_damages(whole, SEED, 400)):
        if _is_read(whole, number, path, new):
            continue
        copy = tmp_path / f"{place}"
        shutil.copytree(whole, copy)
        damage(copy, number, path, new)
        with pytest.raises(store.StoreError) as caught:
            store.read(copy)
        assert str(copy) in str(caught.value) and "\n" not in str(caught.value)
