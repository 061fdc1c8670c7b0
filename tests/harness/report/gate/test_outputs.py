"""What a check said: on a terminal, as Markdown, and to GitHub."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len
from rich.console import Console

from harness.gate import findings
from harness.gate.findings import Finding, Verdict
from harness.report.gate import outputs, wording
from harness.results import metrics
from harness.results.metric import Metric
from harness.text import plain

FIGURES: dict[Metric, tuple[float, ...]] = {
    metrics.THROUGHPUT: (68210.0, 64731.0, -0.051, -0.06, -0.042, 0.03),
    metrics.LATENCY: (0.00123, 0.00163, 0.325, 0.29, 0.36, 0.06),
    metrics.MEMORY: (498 * 2.0**20, 523 * 2.0**20, 0.05, 0.04, 0.06, 0.03),
    metrics.ACCURACY: (0.9722, 0.9655, -0.0067, -0.014, 0.004, 0.01),
    metrics.RESIDENT: (1234567.0, 1034567.0, -0.162, -0.2, -0.12, 0.03),
}


def told(
    verdict: str, metric: Metric = metrics.THROUGHPUT, name: str = "pytorch/eager", note: str = ""
) -> Finding:
    cell = f"mlp-digits/{name}/cpu/float32"
    return Finding(cell, cell, metric, verdict, *FIGURES[metric], launches=5, note=note)


EVERY = [
    told(kind, metric, note=f"a note of {kind}") for kind in wording.ORDER for metric in FIGURES
]


def shown(verdict: Verdict, width: int = 80, **console: object) -> str:
    out = io.StringIO()
    outputs.show(verdict, Console(file=out, width=width, **console))
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    text = shown(Verdict(EVERY, "git:main", "it is old", ("the processor",)), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_80_columns_hold_a_figure_on_one_line() -> None:
    text = shown(Verdict(EVERY, "git:main"))
    assert re.search(
        r"^    throughput +68,210 → 64,731 /s +-5\.1% \(-6\.0 to -4\.2\) +±3%$", text, re.M
    )
    assert re.search(
        r"^    resident-throughput 1,234,567 → 1,034,567 /s -16\.2% \(-20\.0 to -12\.0\) ±3%$",
        text,
        re.M,
    )
    assert re.search(
        r"^    accuracy +0\.9722 → 0\.9655 +-0\.7 pt \(-1\.4 to \+0\.4\) +±1 pt$", text, re.M
    )


def test_the_sentence_comes_first_and_then_the_worst() -> None:
    made = [
        told(findings.SAME, name="jax/jit"),
        told(findings.IMPROVED, metrics.LATENCY),
        told(findings.REGRESSED),
        told(findings.INCONCLUSIVE, metrics.MEMORY),
        told(findings.MISSING, metrics.ACCURACY),
    ]
    lines = shown(Verdict(made, "git:main"), 120).splitlines()
    assert lines[0].startswith("✗ Regression against git:main: 1 regressed, 1 missing")
    assert "mlp-digits, cpu, float32" in lines
    headings = [line for line in lines if re.fullmatch(r"[^ ] (\w+ ?)+", line)]
    assert headings == ["✗ regressed", "✗ missing", "· inconclusive", "✓ improved", "• same"]


def test_many_that_are_the_same_take_a_line_a_cell() -> None:
    made = [
        told(findings.SAME, metric, name)
        for name in ("jax/jit", "pytorch/eager")
        for metric in FIGURES
    ]
    lines = [line.split() for line in shown(Verdict(made, "git:main"), 120).splitlines()]
    listed = ["throughput,", "latency,", "memory,", "accuracy,", "resident-throughput"]
    assert ["jax", "jit", *listed] in lines and ["pytorch", "eager", *listed] in lines


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict([told(findings.REGRESSED), told(findings.INCONCLUSIVE, metrics.MEMORY)], "x")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[31m" in shown(verdict, force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown(verdict, force_terminal=True)
    assert "✗ regressed" in shown(verdict)


def test_what_was_not_decided_is_dim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def line(kind: str) -> str:
        text = shown(Verdict([told(kind)], "x"), force_terminal=True)
        return next(line for line in text.splitlines() if "throughput" in line)

    assert all("\x1b[2m" in line(kind) for kind in (findings.INCONCLUSIVE, findings.NOT_MEASURABLE))
    assert not any("\x1b[2m" in line(kind) for kind in (findings.REGRESSED, findings.IMPROVED))


def test_advisory_another_machine_and_notes_are_said() -> None:
    made = [told(findings.REGRESSED, note="see its profile"), told(findings.SAME, metrics.MEMORY)]
    text = " ".join(shown(Verdict(made, "nightly", "40 days old", ("the kernel",))).split())
    assert "! advisory, a regression does not block: 40 days old" in text
    assert "! not the baseline's machine: the kernel" in text
    assert "! pytorch eager throughput: see its profile" in text
    assert "✗" not in text


def test_a_reason_that_several_cells_have_is_said_once() -> None:
    reason = "not run: the reference is not finite from step 6 on"
    names = [f"pytorch/{mode}" for mode in ("eager", "compile", "graph", "xla")]
    made = [told(findings.MISSING, name=name, note=reason) for name in names]
    for text in (
        shown(Verdict(made, "git:main"), 200),
        outputs.markdown(Verdict(made, "git:main")),
    ):
        assert text.count(reason) == 1 and "and 3 more cells" in text


class Latin(io.StringIO):
    encoding = "latin-1"


def test_a_terminal_with_few_letters_gets_those() -> None:
    out = Latin()
    outputs.show(Verdict(EVERY, "git:main"), Console(file=out, width=120))
    out.getvalue().encode("ascii")
    assert "68,210 -> 64,731 /s" in out.getvalue() and "+-3%" in out.getvalue()


def test_nothing_to_compare_is_said_everywhere() -> None:
    empty = Verdict([], "git:main")
    for text in (shown(empty), outputs.markdown(empty)):
        assert "nothing to compare" in text


HOSTILE = (
    "@maintainers [x](http://h) <img src=x onerror=alert(1)> `code` | a | **b** #1 &lt; <!-- \n"
    "- [ ] \x1b[31m"
)
TEXTS = st.one_of(
    st.text(max_size=40), st.text("`|\\@#<>&*_[]!-:\n \t\x1bé", max_size=40), st.just(HOSTILE)
)


def tokens(text: str) -> list[tuple[str, str]]:
    """What Markdown makes of a text: every leaf, with its content."""
    found = []
    for block in MarkdownIt("commonmark").enable("table").parse(text):
        for leaf in block.children or [block]:
            found.append((leaf.type, leaf.content))
    return found


@given(TEXTS, TEXTS, st.sampled_from(wording.ORDER))
def test_names_from_outside_are_shown_in_markdown_and_not_run(
    name: str, note: str, kind: str
) -> None:
    made = Finding(name, name, metrics.THROUGHPUT, kind, *FIGURES[metrics.THROUGHPUT], note=note)
    text = outputs.markdown(Verdict([made], name, note, [note]))
    found = tokens(text)
    assert {kind for kind, _ in found} <= {
        "html_block",
        "paragraph_open",
        "paragraph_close",
        "text",
        "softbreak",
        "strong_open",
        "strong_close",
        "blockquote_open",
        "blockquote_close",
        "code_inline",
        "table_open",
        "table_close",
        "thead_open",
        "thead_close",
        "tbody_open",
        "tbody_close",
        "tr_open",
        "tr_close",
        "th_open",
        "th_close",
        "td_open",
        "td_close",
        "bullet_list_open",
        "bullet_list_close",
        "list_item_open",
        "list_item_close",
        "text_special",
        "inline",
    }
    ours = ("<!-- samestep check", "<details><summary>Everything else</summary>", "</details>")
    assert all(content.startswith(ours) for kind, content in found if kind == "html_block")
    codes = [content for kind, content in found if kind == "code_inline"]
    assert codes and all(code == (plain(name) or "?") for code in codes)
    assert sum(kind == "td_open" for kind, _ in found) == 6
    assert not re.search(r"[@#]\w", "\n".join(content for kind, content in found if kind == "text"))


def test_markdown_shows_what_is_worse_and_folds_the_rest() -> None:
    made = [
        told(findings.SAME),
        told(findings.REGRESSED, metrics.LATENCY, note="look here"),
        told(findings.MISSING, metrics.MEMORY),
        told(findings.INCONCLUSIVE, metrics.ACCURACY),
    ]
    text = outputs.markdown(Verdict(made, "git:main"))
    mark, sentence, *_ = text.splitlines()
    assert mark.startswith(outputs.MARK) and mark.endswith("-->")
    assert sentence.startswith("✗ **Regression against git:main: 1 regressed, 1 missing")
    sight, folded = text.split("<details>")
    assert "| ✗ regressed |" in sight and "| ✗ missing |" in sight and "look here" in sight
    assert "| • same |" in folded and "| · inconclusive |" in folded
    assert "| +32.5% (+29.0 to +36.0) | ±6% |" in sight
    assert folded.endswith("\n</details>\n")


def test_the_mark_is_another_only_where_the_verdict_is_another() -> None:
    def mark(*made: Finding, advisory: str = "") -> str:
        return outputs.markdown(Verdict(made, "git:main", advisory)).splitlines()[0]

    same, worse = told(findings.SAME), told(findings.REGRESSED)
    other = Finding(
        same.cell, same.base, same.metric, same.verdict, 1.0, 1.01, note="other figures"
    )
    assert mark(same) == mark(other)
    assert len({mark(same), mark(worse), mark(worse, advisory="old"), mark()}) == 4


@pytest.mark.parametrize("kind", [findings.REGRESSED, findings.SAME])
def test_markdown_fits_into_a_comment_and_says_what_did_not(kind: str) -> None:
    made = [told(kind, name=f"framework-{n}/mode", note="`" * 900) for n in range(900)]
    text = outputs.markdown(Verdict(made, "`" * 9000, "`" * 9000, ["`" * 9000]))
    assert len(text) < 65_536
    assert re.search(r"\n[\d,]+ more lines had no room here: check\.json has all", text)
    assert ("</details>" in text) == (kind == findings.SAME)


def test_a_run_keeps_all_three_and_json_has_what_was_measured(tmp_path: Path) -> None:
    verdict = Verdict(EVERY, "git:main", "old", ("the kernel",))
    outputs.write(tmp_path, verdict)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "check.json",
        "check.md",
        "check.xml",
    ]
    assert (tmp_path / "check.md").read_text() == outputs.markdown(verdict)
    document = json.loads((tmp_path / "check.json").read_text())
    assert document["status"] == verdict.status and document["unlike"] == ["the kernel"]
    assert [one["verdict"] for one in document["findings"]] == [
        one.verdict for one in wording.ordered(verdict)
    ]
    (one,) = (
        one
        for one in document["findings"]
        if one["verdict"] == findings.REGRESSED and one["metric"] == "memory"
    )
    assert (one["before"], one["change"], one["unit"]) == (498 * 2.0**20, 0.05, "bytes")


def test_github_is_told_only_where_it_listens(tmp_path: Path) -> None:
    verdict, lines = Verdict([told(findings.REGRESSED)], "git:main"), list[str]()
    outputs.announce(verdict, {}, lines.append)
    assert lines == []
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    outputs.announce(verdict, {"GITHUB_STEP_SUMMARY": str(summary)}, lines.append)
    assert lines == [] and summary.read_text() == "before\n" + outputs.markdown(verdict)
    outputs.announce(verdict, {"GITHUB_ACTIONS": "true"}, lines.append)
    assert [line.split()[0] for line in lines] == ["::error", "::notice"]


def test_a_summary_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    lines = list[str]()
    outputs.announce(Verdict([], "x"), {"GITHUB_STEP_SUMMARY": str(tmp_path)}, lines.append)
    (line,) = lines
    assert (
        str(tmp_path) in line
        and "cannot be written (Is a directory)" in line
        and "check.md" in line
    )
