"""Debian's Chromium without a window, driven by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

START_S = 60.0
ANSWER_S = 30.0
PROGRAM = shutil.which("chromium")


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

    def submit(self, selector: str) -> None:
        """Send a form, and wait until the page that it leads to is loaded."""
        self.evaluate(f'document.querySelector("{selector}").requestSubmit()')
        while self._receive().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")


@contextmanager
def open_tab(folder: Path) -> Iterator[BrowserTab]:
    """Start Chromium with a profile in `folder`, and open a tab."""
    assert PROGRAM is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    command = [PROGRAM, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_tab_address(folder), open_timeout=ANSWER_S, max_size=2**24) as connection:
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
