"""Names of a stored run that hold terminal codes and newlines, wherever they are shown."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import cli

ODD = "a\x1b[31mb\x1b]0;title\x07c\nd\re"


@pytest.mark.parametrize(
    "command",
    [
        *(["report", "{}", "--format", form] for form in ("table", "md", "csv", "json", "html")),
        *(["compare", "{}", "{}", "--format", form] for form in ("table", "md", "json")),
        *(["history", "--format", form] for form in ("table", "csv", "json", "html")),
        ["list", "results"],
        ["baseline", "save", "kept", "--run", "{}"],
    ],
    ids=lambda command: " ".join(command),
)
def test_no_name_reaches_the_terminal_as_it_is(
    tmp_path: Path, fake: ModuleType, command: list[str]
) -> None:
    name = fake.rich_run(tmp_path, ODD).name
    arguments = [word.format(name) for word in command]
    result = CliRunner().invoke(cli.main, [*arguments, "--out", str(tmp_path)], color=True)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    shown = result.output
    if command[-1] == "html":
        shown = Path(shown.strip().splitlines()[-1]).read_text(encoding="utf-8")
    assert shown
    for code in ("\x1b[31mb", "\x1b]0;", "\x07", "c\nd"):
        assert code not in shown
