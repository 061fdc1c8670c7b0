"""Files in other encodings, and names that would not do as a file's."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from harness.environments.framework_spec import FrameworkSpecError
from harness.environments.framework_spec import load as load_framework
from harness.gate import baseline
from harness.results import store
from harness.results.store import StoreError
from workloads import spec
from workloads.reading import SpecError, text_of

TEXT = (spec.CATALOGUE / "mlp-2-3-2.toml").read_text(encoding="utf-8")

OTHER = [
    (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "text in UTF-16"),
    (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "text in UTF-16"),
    (codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"), "text in UTF-32"),
    (TEXT.encode("utf-16-le"), "zero bytes, as UTF-16 does"),
    (b"# one\n# \xfcber\n" + TEXT.encode(), "line 2 is not in UTF-8 .byte 0xfc."),
]


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(codecs.BOM_UTF8 + TEXT.encode())
    assert text_of(path) == TEXT
    assert spec.load(str(path)).layers == spec.load("mlp-2-3-2").layers


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(SpecError, match="is no regular file"):
            text_of(path)


@pytest.mark.parametrize(("content", "complaint"), OTHER)
def test_another_encoding_is_named_with_the_file(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "odd" / "environment.toml"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SpecError, match=complaint) as caught:
        spec.load(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    for load, error in ((load_framework, FrameworkSpecError), (baseline.read, StoreError)):
        with pytest.raises(error, match=complaint):
            load(path)
    path.rename(path.with_name(store.MANIFEST))
    with pytest.raises(StoreError, match=complaint):
        store.read(path.parent)


def test_a_stored_run_is_read_over_byte_order_marks(tmp_path: Path) -> None:
    run = store.Run.create(tmp_path, {"cells": []})
    run.append("run-started", cells=0)
    run.close()
    for name in (store.MANIFEST, store.JOURNAL):
        path = run.folder / name
        path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert [event["event"] for event in store.read(run.folder).events] == ["run-started"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("n" * 240, "has 240 bytes, 120 at most"),
        ("ü" * 80, "has 160 bytes"),
        ("a\x1b[31mred", r"'a\\x1b\[31mred'.*printable"),
        ("two\nlines", "printable"),
        ("bell\x07", "printable"),
        ("right\u202eleft", "printable"),
        (" ", "printable"),
    ],
)
def test_a_file_name_that_no_report_could_show_is_refused(
    tmp_path: Path, name: str, complaint: str
) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(SpecError, match=complaint):
        spec.load(str(path))
    path.write_text(f'name = "good"\n{TEXT}', encoding="utf-8")
    assert spec.load(str(path)).name == "good"
    path.write_text(f"oops = 1\n{TEXT}", encoding="utf-8")
    result = CliRunner().invoke(cli.main, ["run", "--workload", str(path)], color=True)
    assert result.exit_code == 2
    assert "\x1b" not in result.output and result.output.count("\n") == 1


@pytest.mark.parametrize("name", ["../../outside", "a/b", "..", "", "a\\b", "tab\there"])
def test_a_name_leads_nowhere(tmp_path: Path, name: str) -> None:
    table = {**spec.load("mlp-2-3-2").to_dict(), "name": name}
    with pytest.raises(SpecError, match="name = "):
        spec.from_dict(table, "here.toml")


def test_names_in_other_scripts_are_names(tmp_path: Path) -> None:
    for name in ("schön", "net 2", "層", "n" * 120):
        path = tmp_path / f"{name}.toml"
        path.write_text(TEXT, encoding="utf-8")
        assert spec.load(str(path)).name == name
