"""A check's verdict as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from harness.gate import findings
from harness.gate.findings import Finding, Verdict
from harness.report.gate import junit, wording
from harness.results import metrics
from harness.text import plain


def told(kind: str, cell: str = "mlp/jax/jit/cpu/float32", note: str = "") -> Finding:
    return Finding(
        cell, cell, metrics.THROUGHPUT, kind, 100.0, 95.0, -0.05, -0.06, -0.04, 0.03, 5, note
    )


def parsed(verdict: Verdict) -> ET.Element:
    return ET.fromstring(junit.render(verdict).encode())  # noqa: S314 - it is our own


def outcomes(verdict: Verdict) -> dict[str, str]:
    """What became of each test, by its class: its child's tag."""
    return {case.attrib["classname"]: case[0].tag for case in parsed(verdict).iter("testcase")}


EVERY = [told(kind, kind, "a note") for kind in wording.ORDER]


def test_each_verdict_has_its_outcome() -> None:
    assert outcomes(Verdict(EVERY, "x")) == {
        "regressed": "failure",
        "missing": "error",
        "not measurable": "skipped",
        "inconclusive": "system-out",
        "improved": "system-out",
        "same": "system-out",
        "not compared": "skipped",
    }


def test_what_is_advisory_never_fails() -> None:
    verdict = Verdict(
        [told(findings.REGRESSED), told(findings.SAME, "other")], "x", "another machine"
    )
    (skipped,) = parsed(verdict).iter("skipped")
    assert skipped.attrib["message"].startswith("advisory: regressed; -5.0% (-6.0 to -4.0)")
    assert not list(parsed(verdict).iter("failure"))
    (caveat,) = parsed(verdict).iter("property")
    assert "another machine" in caveat.attrib["value"]


def test_its_shape_is_the_one_that_readers_know() -> None:
    suites = parsed(Verdict(EVERY, "git:main"))
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    for element in (suites, suite):
        counted = {
            word: element.attrib[word] for word in ("tests", "failures", "errors", "skipped")
        }
        assert counted == {"tests": "7", "failures": "1", "errors": "1", "skipped": "2"}
        assert float(element.attrib["time"]) == 0
    assert [child.tag for child in suite] == ["testcase"] * 7
    for case in suite:
        assert (
            set(case.attrib) == {"classname", "name", "time"}
            and case.attrib["name"] == "throughput"
        )
        (child,) = case
        assert "100 → 95 samples/s" in child.text and "a note" in child.text
        assert child.attrib.get("message", child.text) == child.text


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.text(max_size=30), st.text("\0\b\t\n\r\x1b<>&\"'\ud800\ufffe]é", max_size=30)
            ),
            st.text(max_size=30),
            st.sampled_from(wording.ORDER),
        ),
        max_size=5,
    ),
    st.text(max_size=30),
)
def test_any_text_is_valid_xml_and_reads_back_as_it_is_shown(
    texts: list[tuple[str, str, str]], other: str
) -> None:
    made = [told(kind, cell, note) for cell, note, kind in texts]
    verdict = Verdict(made, other, other, [other])
    cases = list(parsed(verdict).iter("testcase"))
    expected = wording.ordered(verdict)
    assert [case.attrib["classname"] for case in cases] == [plain(one.cell) for one in expected]
    for case, one in zip(cases, expected, strict=True):
        assert case[0].text.removeprefix("advisory: ") == wording.sentence(one)
