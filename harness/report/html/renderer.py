"""A report as one HTML file: nothing is loaded, and nothing from a journal is ever run.

Texts are escaped by the template; the data for the page's script is JSON without a "<"; and the
page's own policy lets a browser run the two scripts of this file and load nothing at all.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import disk
from harness.report.html import run_page
from harness.results import serialise, store
from harness.text import SYMBOLS

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"

REPORTS = "reports"
"""The folder in results/ for pages of several runs."""


def render(records: Sequence[store.Record]) -> str:
    """Return the report of one run, or of several in one."""
    built = run_page.build(records)
    return fill("page.html", built, built.data)


def fill(template: str, contents: Any, data: Any) -> str:
    """Return a page: the template's texts are of `contents`, `data` is for the page's script."""
    from markupsafe import Markup

    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    library, packed = _library()
    return template_of(template).render(
        page=contents,
        data=Markup(_json(data)),  # noqa: S704 - no "<" is left in it
        script=Markup(script),  # noqa: S704
        packed=packed,
        policy=f"'sha256-{_hash(script)}' 'sha256-{library}'",
    )


def template_of(name: str) -> Template:
    """Return a template that escapes all that it is filled with; it has the style and the symbols."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only a report pays for it
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    environment.globals |= {"symbols": SYMBOLS, "style": Markup(style)}  # noqa: S704
    return environment.get_template(name)


def write(records: Sequence[store.Record], path: Path) -> Path:
    """Write the report to `path`, and return it. Raises StoreError."""
    return put(render(records), path)


def put(text: str, path: Path) -> Path:
    """Write a page to `path`, and return it. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = disk.reason(path.parent, error)
        raise store.StoreError(f"{path.parent}: cannot be made: {why}") from error
    store.write(path, text)
    return path


def place(records: Sequence[store.Record], results: Path) -> Path:
    """Where a report belongs: in its run's folder; of several runs, in `results`/reports."""
    if len(records) == 1:
        return records[0].folder / "report.html"
    names = "\n".join(sorted(str(record.folder.resolve()) for record in records))
    return results / REPORTS / f"{len(records)}-runs-{short(names)}.html"


def short(text: str) -> str:
    """A few letters that stand for a text in the name of a file."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _json(data: Any) -> str:
    text = json.dumps(serialise.strict(data), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


@cache
def _library() -> tuple[str, str]:
    """The plot library's script: its hash, and itself packed as text, at two fifths of its size."""
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs()
    packed = gzip.compress(script.encode(), compresslevel=6, mtime=0)
    return _hash(script), base64.b64encode(packed).decode()


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
