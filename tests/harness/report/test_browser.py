"""The HTML report in a real browser: Debian's chromium, where it is installed."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.report.history import content, html_page
from harness.report.html import renderer
from harness.results import history_db as database
from harness.results import store
from tests.harness.report.browser import DESK, PHONE, Page, scroll
from tests.harness.report.made_up import ReportRun

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="no browser: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield Page(driver)
    driver.quit()


@pytest.fixture(scope="module")
def fakes(request: pytest.FixtureRequest) -> ModuleType:
    import sys

    return sys.modules[f"{__name__.rpartition('.')[0]}.conftest"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("rich")
    return renderer.write([store.read(fakes.rich_run(folder))], folder / "report.html")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    run = fakes.rich_run(folder, fakes.HOSTILE)
    return renderer.write([store.read(run)], folder / "report.html")


@pytest.fixture(scope="module")
def over_time(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> Path:
    """The history of many runs, whose names are hostile; one plot has a change."""
    results = fakes.dated_runs(tmp_path_factory.mktemp("dated"), fakes.HOSTILE.replace("/", ""))
    database.update(results)
    found = content.build(database.table(results), "throughput", None)
    return html_page.write(found, results, None)


PAGES = ["report", "over_time"]


@pytest.mark.parametrize("name", PAGES)
def test_it_loads_nothing_and_complains_of_nothing(
    page: Page, request: pytest.FixtureRequest, name: str
) -> None:
    page.open(request.getfixturevalue(name))
    scroll(page)
    assert page.js("return performance.getEntriesByType('resource').map(one => one.name)") == []
    assert page.errors() == []


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_runs_that_came_to_little_have_a_page_too(
    page: Page, fakes: ModuleType, tmp_path: Path, size: dict[str, Any]
) -> None:
    cells = fakes.plan("cnn-digits")
    empty, half, failed = (ReportRun(tmp_path, fakes.manifest(some)) for some in ([], cells, cells))
    empty.end()
    half.begin()
    for cell in cells[:2]:
        half.whole_cell(cell)
    half.open_cell(cells[2])
    half.run.close()  # as of a run that was killed
    for cell in cells:
        failed.open_cell(cell)
        failed.fail(cell)
    failed.end("failed", 1)
    said = {
        empty: ["there is nothing to compare", "no cell was planned"],
        half: [
            "pytorch eager is fastest on cnn-digits",
            "2 of 10 cells ok",
            "what is here is partial",
        ],
        failed: ["no cell can be ranked", "0 of 10 cells ok", "the machine was short of memory"],
    }
    for run, words in said.items():
        page.open(renderer.write([store.read(run.folder)], run.folder / "report.html"), size)
        scroll(page)
        text = page.js("return document.body.innerText")
        assert not [one for one in words if one not in text], text[:500]
        root = "document.documentElement"
        assert page.js(f"return {root}.scrollWidth - {root}.clientWidth") == 0
        assert page.errors() == []


def test_a_hostile_name_is_shown_and_not_run(page: Page, hostile: Path, fakes: ModuleType) -> None:
    page.open(hostile)
    scroll(page)
    page.js("document.querySelectorAll('#cells [data-cell]').forEach(one => one.click())")
    assert page.js("return window.pwned") is None
    assert page.js("return document.images.length") == 0
    assert fakes.HOSTILE in page.js("return document.body.textContent")
    shown = page.js("return [...document.querySelectorAll('.canvas text')].map(t => t.textContent)")
    assert any(text.startswith(("<script>", "1. <script>")) for text in shown)
    assert page.errors() == []


def test_a_history_shows_its_runs_and_its_change(page: Page, over_time: Path) -> None:
    page.open(over_time)
    scroll(page)
    assert page.js("return document.querySelectorAll('.canvas .main-svg').length") >= 4
    link = "document.querySelector('a[href=\"#h0-1\"]')"
    assert "slower by" in page.js(f"return {link}.textContent")
    plot = "document.getElementById('h0-1')"
    assert page.js(f"return {plot}.querySelectorAll('.scatterlayer .point').length") >= 23 + 22
    (note,) = page.js(
        f"return [...{plot}.querySelectorAll('.annotation')].map(one => one.textContent)"
    )
    assert note.startswith("slower by")
    curve = page.js(f"return {plot}.data.findIndex(trace => trace.hovertext)")
    page.js(f"Plotly.Fx.hover({plot}, [{{curveNumber: {curve}, pointNumber: 14}}])")
    page.wait(f"{plot}.querySelector('.hovertext')")
    said = page.js(f"return {plot}.querySelector('.hovertext').textContent")
    assert "2.13.0" in said and "<script>" in said and "machine-adjusted" in said
    assert page.js("return window.pwned") is None
    assert page.js("return document.images.length") == 0
    assert page.errors() == []


def test_the_policy_stops_what_would_be_planted(page: Page, report: Path) -> None:
    page.open(report)
    page.js(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.pwned = 1\">')"
    )
    page.js(
        "const s = document.createElement('script'); s.textContent = 'window.pwned = 1';"
        " document.body.append(s)"
    )
    assert page.js("return window.pwned") is None
    assert any("Content Security Policy" in error for error in page.errors())


def test_the_table_sorts_by_mouse_and_by_keyboard(page: Page, report: Path) -> None:
    page.open(report)
    place = page.heads().index("training samples/s")
    head = f"document.querySelectorAll('#cells thead th')[{place}]"
    page.js(f"{head}.firstElementChild.focus()")
    for order, turned in (("descending", True), ("ascending", False)):
        page.press("\n")
        assert page.js(f"return {head}.getAttribute('aria-sort')") == order
        texts = page.column(place)
        known = [float(text.replace(",", "")) for text in texts if text != "-"]
        assert known == sorted(known, reverse=turned) and len(known) == 19
        assert texts[-1] == "-"  # what is missing stays last
    page.js("document.querySelector('#cells thead th button').click()")
    names = page.column(0)
    assert names == sorted(names)
    assert (
        page.js("return document.querySelectorAll('[aria-sort]:not([aria-sort=none])').length") == 1
    )


def test_the_table_filters(page: Page, report: Path) -> None:
    page.open(report)
    page.js("document.querySelector('[name=find]').focus()")
    page.press("jax jit")
    assert page.column(0) == ["jax jit", "jax jit"]
    assert page.js("return document.getElementById('shown').textContent") == "2 of 20 cells"
    page.js("document.querySelector('[name=find]').value = ''")
    workload = page.heads().index("workload")
    page.js(
        "const one = document.querySelector(`select[data-column='${arguments[0]}']`);"
        " one.value = 'mlp-digits'; one.dispatchEvent(new Event('input', {bubbles: true}))",
        workload,
    )
    assert set(page.column(workload)) == {"mlp-digits"} and len(page.column(0)) == 10


def test_a_press_on_a_cell_shows_its_details(page: Page, report: Path) -> None:
    page.open(report)
    page.js("document.querySelector('#cells tbody [data-cell=\"0\"]').focus()")
    page.press("\n")
    page.wait("document.querySelector('dialog[open] .main-svg')")
    text = page.js("return document.getElementById('detail').textContent")
    for words in (
        "the last line of cnn-digits/pytorch/eager",
        "gradient of conv1.weight",
        "before timing: equivalent",
        "Its samples",
        "layout NCHW",
    ):
        assert words in text, words
    page.press("\ue00c")  # Escape
    page.wait("!document.querySelector('dialog[open]')")
    assert page.js("return document.activeElement.dataset.cell") == "0"
    refuted = "[...document.querySelectorAll('.failed button')][0]"
    page.js(f"{refuted}.click()")
    assert "off by 3e-2" in page.js("return document.getElementById('detail').textContent")
    assert page.errors() == []


def test_images_show_what_the_chosen_cells_took_them_for(page: Page, report: Path) -> None:
    page.open(report)
    shown = (
        "return [...document.querySelectorAll('.images:not([hidden]) li')].map(li => li.innerText)"
    )
    chosen = (
        "const one = document.querySelector('select[data-part$=\"-images\"]'); one.selectedIndex ="
        " arguments[0]; one.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    for place, wrong in enumerate((["zero\n✗ 4 of 10 cells"], ["zero\n✗ 1"], [])):
        page.js(chosen, place)
        texts = page.js(shown)
        assert len(texts) == 24 and [text for text in texts if "✗" in text] == wrong
    size = page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1], one = new Image();"
        " one.onload = () => done([one.width, one.height]); one.onerror = () => done(null);"
        " one.src = document.querySelector('defs image').href.baseVal"
    )
    drawn = page.js("return document.querySelector('.images:not([hidden]) use').getBBox().width")
    assert size == [8, 8] and drawn == 8 and page.errors() == []


def test_a_dot_in_a_plot_leads_to_its_cell(page: Page, report: Path) -> None:
    page.open(report)
    scroll(page)
    page.js(
        "const plot = document.querySelector('.canvas');"
        " plot.emit('plotly_click', {points: [{data: plot.data[1], pointNumber: 0}]})"
    )
    page.wait("document.querySelector('dialog[open]')")
    assert "cnn-digits/" in page.js("return document.getElementById('detail-title').textContent")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_follows_the_system_and_the_switch(
    page: Page, request: pytest.FixtureRequest, theme: str, name: str
) -> None:
    page.open(request.getfixturevalue(name), theme=theme)
    scroll(page)

    def is_dark() -> list[bool]:
        """Whether the ground is dark, and whether the writing in the plots is light."""
        colours = page.js(
            "const text = document.querySelector('.canvas .ytick text');"
            " return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill]"
        )
        sums = [sum(map(int, one[one.index("(") + 1 : -1].split(",")[:3])) for one in colours]
        return [sums[0] < 380, sums[1] > 380]

    page.js("scrollTo(0, 0)")
    assert is_dark() == [theme == "dark"] * 2
    page.js("document.getElementById('theme').click()")
    page.until(lambda: is_dark() == [theme != "dark"] * 2)


@pytest.mark.parametrize("name", [*PAGES, "hostile"])
def test_a_phone_scrolls_down_only(page: Page, request: pytest.FixtureRequest, name: str) -> None:
    page.open(request.getfixturevalue(name), PHONE)
    scroll(page)
    assert page.js("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    wide = page.js(
        "return [...document.querySelectorAll('.main-svg')].filter(one =>"
        " one.getBoundingClientRect().right > 391).length"
    )
    assert wide == 0


@pytest.mark.parametrize("chosen", [None, "dark"])
def test_what_is_printed_is_light(page: Page, report: Path, chosen: str | None) -> None:
    page.open(report, theme="dark")
    page.js("if (arguments[0]) document.documentElement.dataset.theme = arguments[0]", chosen)
    ink = "return getComputedStyle(document.body).color"
    assert page.js(ink) == "rgb(232, 232, 228)"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = page.js(ink), page.js("return getComputedStyle(document.body).backgroundColor")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert shown == ("rgb(29, 33, 39)", "rgba(0, 0, 0, 0)")


def test_it_prints_and_is_as_before_after(page: Page, report: Path) -> None:
    page.open(report, theme="dark")
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(printed)[:5] == b"%PDF-" and len(printed) > 100_000
    page.wait("!document.documentElement.classList.contains('printing')")
    assert page.js("return document.documentElement.dataset.theme ?? null") is None
    assert page.errors() == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(
    page: Page, request: pytest.FixtureRequest, axe: str, theme: str, name: str
) -> None:
    path = request.getfixturevalue(name)
    page.open(path, theme=theme)
    scroll(page)
    page.driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    page.open(path, theme=theme)
    page.js("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.js(axe)

    def found() -> list[Any]:
        return page.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            " axe.run().then(all => done(all.violations.map(one =>"
            " [one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))])))"
        )

    assert found() == []
    if name == "report":  # it alone has details that open
        page.js("document.querySelector('#cells [data-cell]').click()")
        page.wait("document.querySelector('dialog[open] .main-svg')")
        assert found() == []
    page.driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, which npm fetches; it is not kept."""
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("no npm to fetch axe-core with")
    command = ["npm", "pack", "axe-core", "--silent"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"axe-core cannot be fetched: {error}")
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script
        return script.read().decode()
