"""A check's verdict as JUnit XML, as GitLab, Jenkins and GitHub's reporters read it.

There is no standard; this is what their readers have in common, of
https://github.com/testmoapp/junitxml and https://docs.gitlab.com/ci/testing/unit_test_reports.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from harness.gate.findings import MISSING, NOT_COMPARED, NOT_MEASURABLE, REGRESSED, Finding, Verdict
from harness.report.gate import wording
from harness.text import plain

_TAGS = {
    REGRESSED: "failure",
    MISSING: "error",
    NOT_MEASURABLE: "skipped",
    NOT_COMPARED: "skipped",
}


def render(verdict: Verdict) -> str:
    """Return the document: a test a cell and metric, named by both.

    A regression fails, what is missing is an error, what was not measurable or not compared is
    skipped, and so is a regression of an advisory check. All else passes; what is inconclusive says
    so in its output. Times are 0: a check takes its time for all cells together.
    """
    suites = ET.Element("testsuites", name="samestep check")
    suite = ET.SubElement(
        suites, "testsuite", name=plain(f"samestep check against {verdict.against}")
    )
    findings = wording.ordered(verdict)
    if caveats := wording.caveats(verdict):
        properties = ET.SubElement(suite, "properties")
        for caveat in caveats:
            ET.SubElement(properties, "property", name="note", value=caveat)
    for finding in findings:
        _test(suite, finding, verdict)
    for element in (suites, suite):
        element.set("tests", str(len(findings)))
        for word, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            element.set(word, str(len(suite.findall(f"testcase/{tag}"))))
        element.set("time", "0")
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _test(suite: ET.Element, finding: Finding, verdict: Verdict) -> None:
    case = ET.SubElement(
        suite, "testcase", classname=plain(finding.cell), name=plain(finding.metric.name), time="0"
    )
    message, tag = wording.sentence(finding), _TAGS.get(finding.verdict)
    if verdict.advisory and finding.verdict == REGRESSED:
        tag, message = "skipped", f"advisory: {message}"
    if tag:
        # Readers take the attribute or the text, not all of them both.
        ET.SubElement(case, tag, message=message, type=finding.verdict).text = message
    else:
        ET.SubElement(case, "system-out").text = message
