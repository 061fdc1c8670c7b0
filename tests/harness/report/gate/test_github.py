"""A check's verdict as GitHub's annotations."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness.gate import findings
from harness.gate.findings import Finding, Verdict
from harness.report.gate import github, wording
from harness.results import metrics
from harness.results.metric import Metric
from harness.text import plain

COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def told(
    kind: str,
    cell: str = "mlp/jax/jit/cpu/float32",
    metric: Metric = metrics.THROUGHPUT,
    note: str = "",
) -> Finding:
    return Finding(cell, cell, metric, kind, 100.0, 95.0, -0.05, -0.06, -0.04, 0.03, 5, note)


def levels(verdict: Verdict) -> list[str]:
    return [line[2:].split()[0] for line in github.commands(verdict)]


def unescaped(text: str) -> str:
    for code, letter in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, letter)
    return text


def test_what_is_worse_or_missing_is_an_error_with_all_its_figures() -> None:
    first, second, last = github.commands(
        Verdict([told(findings.MISSING), told(findings.REGRESSED), told(findings.SAME)], "git:main")
    )
    assert first == (
        "::error title=mlp/jax/jit/cpu/float32 throughput::regressed; -5.0%25 (-6.0 to -4.0);"
        " threshold ±3%25; 100 → 95 samples/s; 5 launches"
    )
    assert second.startswith("::error title=mlp/jax/jit/cpu/float32 throughput::missing")
    assert last == (
        "::notice title=samestep::Regression against git:main: 1 regressed, 1 missing, 1 same"
    )


def test_what_is_advisory_warns() -> None:
    verdict = Verdict([told(findings.REGRESSED), told(findings.SAME)], "x", "another machine")
    assert levels(verdict) == ["warning", "notice"]
    assert "advisory, a regression does not block: another machine" in github.commands(verdict)[-1]


def test_what_was_not_decided_is_one_warning_a_kind() -> None:
    own = [
        told(findings.INCONCLUSIVE, f"mlp/{name}/m/cpu/float32", note="2 min more") for name in "ab"
    ]
    lines = github.commands(
        Verdict([*own, told(findings.NOT_MEASURABLE), told(findings.SAME)], "x")
    )
    assert lines[0].startswith("::warning title=samestep%3A 1 figure not measurable::")
    assert lines[1] == (
        "::warning title=samestep%3A 2 figures inconclusive::"
        "mlp a m cpu float32 throughput; mlp b m cpu float32 throughput: 2 min more"
    )
    assert len(lines) == 3 and lines[2].startswith("::notice")


def test_no_more_than_github_shows() -> None:
    many = [told(findings.REGRESSED, f"mlp/{n}/m/cpu/float32") for n in range(github.MOST + 1)]
    open_ = [told(findings.INCONCLUSIVE), told(findings.NOT_MEASURABLE)]
    assert levels(Verdict(many[1:], "x")).count("error") == github.MOST
    lines = github.commands(Verdict([*many, *open_], "x"))
    errors = [line for line in lines if line.startswith("::error")]
    assert len(errors) == github.MOST and "::2 more like these" in errors[-1]
    assert levels(Verdict([*many, *open_], "x", "old")).count("warning") == github.MOST


@given(
    st.lists(
        st.tuples(
            st.one_of(st.text(max_size=30), st.text("%:,\r\n; \u2028\x850ADo", max_size=30)),
            st.text(max_size=30),
            st.sampled_from(wording.ORDER),
        ),
        max_size=4,
    ),
    st.text(max_size=30),
)
def test_any_text_stays_on_its_line_and_reads_back(
    texts: list[tuple[str, str, str]], other: str
) -> None:
    made = [told(kind, cell, note=note) for cell, note, kind in texts]
    lines = github.commands(Verdict(made, other, other, [other]))
    for line in lines:
        assert len(line.splitlines()) == 1 and COMMAND.fullmatch(line)
    titles = [unescaped(COMMAND.fullmatch(line)[2]) for line in lines if line.startswith("::error")]
    assert all(
        plain(f"{one.cell} throughput") in titles for one in made if one.verdict == findings.MISSING
    )
