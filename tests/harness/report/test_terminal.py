"""The report on a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.commands.doctor import show as show_finding
from harness.doctor import Finding
from harness.report import content, printing, terminal
from harness.results import store
from harness.results.metrics import IN_TABLES
from harness.verdicts import NOT_EQUIVALENT
from tests.harness.report.made_up import ReportRun


def show(folder: Path, width: int, details: bool = False, **console: object) -> str:
    out = io.StringIO()
    terminal.show(store.read(folder), Console(file=out, width=width, **console), details)
    return out.getvalue()


class Latin(io.StringIO):
    encoding = "latin-1"


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal(
    tmp_path: Path, fake: ModuleType, width: int, details: bool
) -> None:
    text = show(fake.mixed_run(tmp_path), width, details)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_a_workload_has_few_sentences_and_the_details_the_rest(
    tmp_path: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_MOST_NOTES", 3)
    folder = fake.good_run(tmp_path)
    (section,) = content.build(store.read(folder)).sections
    whole, short = (" ".join(show(folder, 400, details).split()) for details in (True, False))
    assert len(section.notes) > 3
    assert all(note in whole for _, note in section.notes)
    assert [note for _, note in section.notes if note in short] == [
        note for _, note in section.notes[:3]
    ]
    assert "clock" in whole and "clock" not in short
    assert len(show(folder, 100).splitlines()) <= 40


def test_no_warning_is_left_to_the_details(tmp_path: Path, fake: ModuleType) -> None:
    folder = fake.mixed_run(tmp_path)
    sections = content.build(store.read(folder)).sections
    warnings = [note for section in sections for tone, note in section.notes if tone in "bad warn"]
    assert warnings
    assert all(note in show(folder, 400) for note in warnings)


def heading(text: str) -> list[str]:
    """The short titles of a table, the words of one joined."""
    line = next(line for line in text.splitlines() if "train/s" in line)
    for metric in IN_TABLES:
        line = line.replace(metric.short, metric.short.replace(" ", "_"))
    return line.split()


def test_80_columns_hold_what_matters(tmp_path: Path, fake: ModuleType) -> None:
    text = show(fake.mixed_run(tmp_path), 80, details=True)
    assert heading(text) == ["#", "acc", "prec", "train/s", "infer/s", "first_s", "MiB", "status"]
    assert "no room here for: recall, F1, train from, train to, cores," in text
    assert "✓ pytorch eager    1 0.9722" in text


def test_a_wide_terminal_shows_all(tmp_path: Path, fake: ModuleType) -> None:
    text = show(fake.mixed_run(tmp_path), 190, details=True)
    assert len(heading(text)) == 16
    assert "no room" not in text


def test_the_legend_has_the_columns_that_are_shown(tmp_path: Path, fake: ModuleType) -> None:
    legend = " ".join(show(fake.mixed_run(tmp_path), 80, details=True).split("columns ")[1].split())
    assert legend.startswith(
        "#: rank; acc: accuracy; prec: precision; train/s: training samples/s;"
    )
    assert "MiB: peak memory, MiB" in legend and "cores: cores used" not in legend


def test_a_narrow_one_keeps_the_speed(tmp_path: Path, fake: ModuleType) -> None:
    assert heading(show(fake.good_run(tmp_path), 40)) == ["#", "acc", "train/s"]


def test_colour_only_where_it_is_wanted(
    tmp_path: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake.mixed_run(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m" in show(folder, 80, force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    without = show(folder, 80, force_terminal=True)
    assert "\x1b[32m" not in without and "\x1b[31m" not in without
    assert "✗ mlp-digits/tensorflow/xla" in show(folder, 80)


def test_symbols_where_the_terminal_has_few_letters(tmp_path: Path, fake: ModuleType) -> None:
    out = Latin()
    terminal.show(store.read(fake.mixed_run(tmp_path)), Console(file=out, width=80))
    out.getvalue().encode("latin-1")
    assert "+ pytorch eager" in out.getvalue() and "x tensorflow xla" in out.getvalue()


def test_a_failure_has_its_reason_its_last_lines_and_its_log(
    tmp_path: Path, fake: ModuleType
) -> None:
    text = show(fake.mixed_run(tmp_path), 120)
    assert "crashed in train: killed by signal SIGKILL" in text
    assert "    Killed\n" in text
    assert "the whole log: logs/mlp-digits-tensorflow-xla-cpu-float32.log" in text


def test_a_failure_names_its_verdict_once(tmp_path: Path, fake: ModuleType) -> None:
    run = ReportRun(tmp_path, fake.manifest(["toy/a/b/cpu/float32"]))
    run.fail(
        "toy/a/b/cpu/float32",
        NOT_EQUIVALENT,
        phase=None,
        reason=f"{NOT_EQUIVALENT}: the loss differs",
    )
    run.end()
    assert f"float32 {NOT_EQUIVALENT}: the loss differs" in show(run.folder, 120)


def test_names_are_no_markup_and_no_terminal_codes(tmp_path: Path, fake: ModuleType) -> None:
    cell = f"toy[bold]/[red]a\x1b[2J/{'m' * 90}/cpu/float32"
    run = ReportRun(tmp_path, fake.manifest([cell]))
    run.fail(cell, reason="[link=x]no[/link]", log_tail=["y" * 500, "[/]"])
    run.end()
    text = show(run.folder, 80)
    assert "toy[bold]" in text and "[red]a" in text and "[link=x]no[/link]" in text
    assert "\x1b" not in text
    assert max(cell_len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("width", [20, 80])
def test_an_empty_run(tmp_path: Path, width: int) -> None:
    run = ReportRun(tmp_path, {})
    run.run.close()
    assert "no cell was" in show(run.folder, width)


def test_tables_and_findings_of_other_commands() -> None:
    out = io.StringIO()
    console = Console(file=out, width=40)
    printing.table(console, ["name", "about"], [("[a]", "word " * 20), ("b", 7)])
    found = [Finding("ok", "fine"), Finding("warning", "odd", "fix it"), Finding("error", "no")]
    for finding in found:
        show_finding(console, finding)
    text = out.getvalue()
    assert "[a]" in text and "✓ fine" in text and "! odd" in text and "✗ no" in text
    assert "  fix it" in text
    assert max(map(cell_len, text.splitlines())) <= 40
