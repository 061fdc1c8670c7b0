"""A report that is open in a browser, for tests to look at and to click in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
DESK = {"width": 1280, "height": 1000, "deviceScaleFactor": 1, "mobile": False}


class Page:
    """A report that is open in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, size: dict[str, Any] = DESK, theme: str = "light") -> None:
        """Load a report anew, and wait until it can draw."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(path.as_uri())
        self.wait("window.Plotly")

    def js(self, code: str, *arguments: Any) -> Any:
        """Run a script, and return what it returns."""
        return self.driver.execute_script(code, *arguments)

    def wait(self, truth: str) -> None:
        """Wait until an expression is true."""
        self.until(lambda: self.js(f"return !!({truth})"))

    def until(self, truth: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda driver: truth())

    def errors(self) -> list[str]:
        """What the console holds since the last look."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def press(self, key: str) -> None:
        """Press a key on what has the focus."""
        self.driver.switch_to.active_element.send_keys(key)

    def column(self, place: int) -> list[str]:
        """The texts of a column of the rows that are shown."""
        return self.js(
            "return [...document.querySelectorAll('#cells tbody tr:not([hidden])')]"
            ".map(row => row.cells[arguments[0]].textContent)",
            place,
        )

    def heads(self) -> list[str]:
        return self.js(
            "return [...document.querySelectorAll('#cells thead th')].map(h => h.textContent.trim())"
        )


def scroll(page: Page) -> None:
    """Go through the whole page, so that every plot is drawn."""
    page.js("document.querySelectorAll('.canvas').forEach(c => c.scrollIntoView())")
    page.wait(
        "[...document.querySelectorAll('.canvas')].every(c => {"
        " if (!c.offsetParent || c.querySelector('.main-svg')) return true;"
        " c.scrollIntoView(); return false; })"
    )
