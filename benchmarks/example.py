"""Keeps a stored run as the example in docs/: its report, its tables, pictures of the terminal and of
the page, light, dark and on a phone.

    python benchmarks/example.py RUN FOLDER        e.g. latest docs/example

Made from the store alone; the page's pictures need chromium. Host names and paths are not in a run; the
command it was started with is, so give relative paths to the run.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from harness.report import terminal  # noqa: E402
from harness.report.html import renderer  # noqa: E402
from harness.results import store  # noqa: E402

WIDTH = 100
"""Letters a line in the picture."""

SHOWN = 18
"""Lines of the report in the picture: the verdict, the first table and the seal of the proof."""

PAGES = {
    "page.png": (1280, 1900, "light"),
    "page-dark.png": (1280, 1900, "dark"),
    "page-phone.png": (390, 1900, "light"),
}
"""The pictures of the page: width and height in pixels, and the system's theme."""

DRAWN = """return window.Plotly && [...document.querySelectorAll(".canvas")].every(
    (one) => !one.offsetParent || one.getBoundingClientRect().top > innerHeight
        || one.querySelector(".main-svg"))"""
"""Whether every plot that is in sight is drawn: not those in what is folded."""


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


def screenshots(record: store.Record, folder: Path) -> None:
    """Have chromium draw the head of the HTML report as PAGES; without chromium there are no pictures."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        print(
            "no chromium here (apt-get install chromium chromium-driver): no pictures of the page"
        )
        return
    from selenium import webdriver
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    with tempfile.TemporaryDirectory() as scratch:
        page = renderer.write([record], Path(scratch) / "report.html")
        for name, (width, height, theme) in PAGES.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            chosen = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", chosen)
            browser.get(page.as_uri())
            WebDriverWait(browser, 60).until(lambda one: one.execute_script(DRAWN))
            (folder / name).write_bytes(browser.get_screenshot_as_png())
    browser.quit()


def main(run: str, folder: Path) -> None:
    """Write the files."""
    record = store.read(store.resolve(ROOT / "results", run))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.md", "summary.csv", "samples.csv"):
        shutil.copy(record.folder / name, folder / name)
    (folder / "terminal.svg").write_text(picture(record))
    screenshots(record, folder)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
