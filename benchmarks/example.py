"""Keeps a stored run as the example in docs/: its report, its tables, pictures of terminal and page.

    python benchmarks/example.py RUN FOLDER        e.g. latest docs/example

Made from the store alone; the page's picture needs chromium. Host names and paths are not in a run; the
command it was started with is, so give relative paths to the run.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from harness import store  # noqa: E402
from harness.report import html, terminal  # noqa: E402

WIDTH = 100
"""Letters a line in the picture."""

SHOWN = 18
"""Lines of the report in the picture: the verdict, the first table and the seal of the proof."""


def picture(record: store.Record) -> str:
    """Return the beginning of the terminal's report as SVG, with no font from elsewhere."""
    whole = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    terminal.show(record, whole)
    lines = whole.export_text(styles=True).splitlines()[:SHOWN]
    shown = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    shown.print(Text.from_ansi("\n".join(lines)))
    svg = shown.export_svg(title="python cli.py run --framework all", unique_id="samestep")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(
        "Fira Code", "monospace"
    )


def screenshot(record: store.Record, path: Path) -> None:
    """Have chromium draw the head of the HTML report; without chromium there is no picture."""
    program = shutil.which("chromium")
    if program is None:
        print("no chromium here: no picture of the page")
        return
    with tempfile.TemporaryDirectory() as folder:
        page = html.write([record], Path(folder) / "report.html")
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1900"]
        patient = ["--virtual-time-budget=10000", f"--screenshot={path}", page.as_uri()]
        subprocess.run([program, *options, *patient], check=True, capture_output=True)


def main(run: str, folder: Path) -> None:
    """Write the files."""
    record = store.read(store.resolve(ROOT / "results", run))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.md", "summary.csv", "samples.csv"):
        shutil.copy(record.folder / name, folder / name)
    (folder / "terminal.svg").write_text(picture(record))
    screenshot(record, folder / "page.png")
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
