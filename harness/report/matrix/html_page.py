"""The report of a matrix as one HTML file without a script; whatever a node says is escaped."""

from __future__ import annotations

from pathlib import Path

from harness.report.html import renderer
from harness.report.matrix import content
from harness.report.matrix.content import Report


def render(report: Report) -> str:
    """Return the page."""
    heads = {"speeds": content.SPEEDS, "scores": content.SCORES, "units": content.UNITS}
    return renderer.template_of("matrix.html").render(
        page=report, heads=heads, about=content.ABOUT, policy="'none'"
    )


def write(report: Report, path: Path) -> Path:
    """Write the page to `path`, and return it. Raises StoreError."""
    return renderer.put(render(report), path)
