"""Makes the examples in docs/example: a run each, its report, its tables, and pictures of both reports.

    python benchmarks/example.py                                   # all
    python benchmarks/example.py lstm-digits check                 # these
    python benchmarks/example.py cifar-cnn-128 --data-dir FOLDER   # with CIFAR-10's files in FOLDER
    python benchmarks/example.py check --run latest                # of a stored run

Run it on a quiet machine; each run waits until the load of the one before is gone. The page's
pictures need chromium. Runs are anonymous: no file has a path.
`benchmarks/matrix_example.py` makes docs/example/matrix.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from harness.gate.evaluate import verdict  # noqa: E402
from harness.report import terminal  # noqa: E402
from harness.report.gate import outputs  # noqa: E402
from harness.report.html import renderer  # noqa: E402
from harness.results import store  # noqa: E402

FOLDER = ROOT / "docs" / "example"

LARGEST = "cnn-digits"
"""The example whose slices are kept, and whose page is drawn in the dark and on a phone, too."""

COMMANDS = {
    LARGEST: "run --framework all --workload cnn-digits --budget 4m",
    "lstm-digits": "run --framework all --mode eager,jit,graph,hybrid"
    " --workload lstm-digits --epochs 5 --budget 120s",
    "cifar-cnn-128": "run --framework all --mode eager,jit,graph,hybrid --workload cifar-cnn-128"
    " --epochs 1 --budget 120s",
    "check": "check --framework jax@0.10.2 --against jax@0.10.1 --mode jit --workload cnn-digits",
}
"""The command of each example, with time for three launches: seven minutes, the others under five."""

PASSED_ON = ("HOME", "LANG", "PATH", "SAMESTEP_CACHE", "TMPDIR", "UV_", "PIP_", "USER")
"""The beginnings of the variables that a run gets: any other may be in its report's warnings."""

QUIET_LOAD = 0.25

WIDTH = 100
"""Letters a line in the picture of the terminal."""

SHOWN = 18
"""Lines in it: the verdict, the first table and the summary of the parity check."""

PAGES = {
    "page.png": (1280, 1900, "light"),
    "page-dark.png": (1280, 1900, "dark"),
    "page-phone.png": (390, 1900, "light"),
}
"""The pictures of the page: width and height in pixels, and the system's theme."""

DRAWN = """return window.Plotly && [...document.querySelectorAll(".canvas")].every(
    (plot) => !plot.offsetParent || plot.getBoundingClientRect().top > innerHeight
        || plot.querySelector(".main-svg"))"""
"""Whether every plot that is in sight is drawn: not those in what is folded."""


def wait_until_quiet() -> None:
    """Wait until the load average of a minute is low: a run says in its report if it was not."""
    while os.getloadavg()[0] > QUIET_LOAD:
        time.sleep(5)


def measure(name: str, data: Path | None) -> Path:
    """Execute an example's command; return its run's folder, which every exit status but 2 leaves."""
    words = [*shlex.split(COMMANDS[name]), "--anonymous"]
    if data is not None and name.startswith("cifar"):
        words += ["--data-dir", str(data)]
    environ = {key: value for key, value in os.environ.items() if key.startswith(PASSED_ON)}
    wait_until_quiet()
    began = time.monotonic()
    command = [sys.executable, "cli.py", *words]
    status = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
    print(f"{name}: {time.monotonic() - began:.0f} s, exit status {status}")
    if status not in (0, 1, 3):
        sys.exit(status)
    return store.resolve(ROOT / "results", "latest")


def picture(record: store.Record, command: str) -> str:
    """Return the beginning of the terminal's report as SVG, with no font from elsewhere."""
    whole = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    if record.manifest.get("check"):
        outputs.show(verdict(record), whole)
    else:
        terminal.show(record, whole)
    lines = whole.export_text(styles=True).splitlines()[:SHOWN]
    shown = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    shown.print(Text.from_ansi("\n".join(lines)))
    svg = shown.export_svg(title=f"samestep {command}", unique_id="samestep")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace(
        "Fira Code", "monospace"
    )


def screenshots(record: store.Record, folder: Path, names: Collection[str]) -> None:
    """Have chromium draw the head of the HTML report as these of PAGES; without it there are none."""
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
        for name in names:
            width, height, theme = PAGES[name]
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            chosen = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", chosen)
            browser.get(page.as_uri())
            WebDriverWait(browser, 60).until(lambda page: page.execute_script(DRAWN))
            (folder / name).write_bytes(browser.get_screenshot_as_png())
    browser.quit()


def keep(record: store.Record, name: str) -> None:
    """Write the files of an example."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    files = ["report.md", "summary.csv"]
    files += ["check.md"] if record.manifest.get("check") else []
    files += ["samples.csv"] if name == LARGEST else []
    for file in files:
        shutil.copy(record.folder / file, folder / file)
    (folder / "terminal.svg").write_text(picture(record, COMMANDS[name]))
    screenshots(record, folder, PAGES if name == LARGEST else ["page.png"])
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def main() -> None:
    """Make the examples that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    parser.add_argument("--data-dir", type=Path, help="CIFAR-10's published files")
    parser.add_argument("--run", help="a stored run, instead of a new one; of a single example")
    options = parser.parse_args()
    names = options.names or list(COMMANDS)
    if not set(names) <= set(COMMANDS) or (options.run and len(names) != 1):
        parser.error(f"NAME is of {', '.join(COMMANDS)}; --run goes with a single one")
    for name in names:
        stored = options.run and store.resolve(ROOT / "results", options.run)
        keep(store.read(stored or measure(name, options.data_dir)), name)


if __name__ == "__main__":
    main()
