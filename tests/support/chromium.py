"""Debian's Chromium without a window, driven by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
from websockets.sync.client import ClientConnection, connect

START_S = 60.0
ANSWER_S = 30.0
PROGRAM = shutil.which("chromium")
AXE = Path(__file__).parents[2] / "build/axe/node_modules/axe-core/axe.min.js"
"""As `scripts/axe.sh` installs it: https://github.com/dequelabs/axe-core/blob/develop/doc/API.md."""

# What a screen reader misses: controls, tables and landmarks without a name, ids that are there twice.
_UNNAMED = """[
  ...[...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter(
    (field) => !field.labels.length && !field.getAttribute("aria-label")).map((field) => field.outerHTML),
  ...[...document.querySelectorAll("a, button")].filter(
    (control) => !control.textContent.trim()).map((control) => control.outerHTML),
  ...["main", "header", "h1", "head > title", "[lang]"].filter(
    (name) => document.querySelectorAll(name).length !== 1),
  ...[...document.querySelectorAll("[id]")].map((node) => node.id).filter(
    (id, place, all) => all.indexOf(id) !== place),
]"""
_FOLDED = "[...document.querySelectorAll('caption')].filter((one) => one.clientWidth < 100).length"
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_BARRIERS = """axe.run(document, {resultTypes: ["violations"], preload: false, %s}).then((result) => result.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(" ; ")}`))"""
_CONTRAST = 'runOnly: ["color-contrast"]'


class BrowserTab:
    """One tab: it opens pages, and has kept what they wrote to the console and asked for.

    Args:
        connection: To the tab.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.requested: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=ANSWER_S))
        params = message.get("params", {})
        match message.get("method"):
            case "Log.entryAdded":
                self.errors.append(str(params["entry"].get("text")))
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"].get("text")))
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
        return message

    def open(self, url: str, *, width: int) -> None:
        """Open a page in a window of so many pixels, and wait until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", url=url)
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def prefer(self, scheme: Literal["light", "dark"]) -> None:
        """Have pages follow a colour scheme."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, height: int) -> bytes:
        """Return what the window shows from the top of its page down to so many pixels, as PNG."""
        width = self.evaluate("document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self._call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def submit(self, selector: str) -> None:
        """Send a form, and wait until the page that it leads to is loaded."""
        self.evaluate(f'document.querySelector("{selector}").requestSubmit()')
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        return self._call("Runtime.evaluate", **asked)["result"].get("value")


def check_page(tab: BrowserTab, url: str) -> None:
    """Open a page at three widths: it fits, says what each part of it is, and has no barrier that axe calls serious."""
    for width in (400, 900, 1600):
        tab.open(url, width=width)
        assert tab.evaluate(_OVERFLOW) == 0, (url, width)
        assert tab.evaluate(_FOLDED) == 0, (url, width)
    assert tab.evaluate(_UNNAMED) == [], url
    if not AXE.is_file():
        assert os.environ.get("SQUIRE_TEST_NO_SKIP") != "1", "axe is missing: run scripts/axe.sh"
        return
    tab.evaluate(f"{AXE.read_text(encoding='utf-8')};0")
    assert tab.evaluate(_BARRIERS % "") == [], url
    tab.prefer("dark")
    try:
        assert tab.evaluate(_BARRIERS % _CONTRAST) == [], (url, "dark")
    finally:
        tab.prefer("light")


@contextmanager
def open_tab(folder: Path) -> Iterator[BrowserTab]:
    """Start Chromium with a profile in `folder`, and open a tab."""
    assert PROGRAM is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    command = [PROGRAM, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_tab_address(folder), open_timeout=ANSWER_S, ping_interval=None, max_size=2**24) as connection:
                yield BrowserTab(connection)
        finally:
            process.terminate()


def _tab_address(folder: Path) -> str:

    deadline = time.monotonic() + START_S
    port_file = folder / "DevToolsActivePort"
    while time.monotonic() < deadline:
        if port_file.exists() and (lines := port_file.read_text(encoding="utf-8").splitlines()):
            tabs = httpx.get(f"http://127.0.0.1:{lines[0]}/json", timeout=ANSWER_S, trust_env=False).json()
            pages = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
            if pages:
                return str(pages[0])
        time.sleep(0.05)
    raise AssertionError("Chromium has not started")
