"""Takes the pictures of `docs/guide/pictures.md` anew, in Chromium, of the demo's home: `make pictures`.

A demo that is finished in that home is used again. Dagster's own pages are served by its webserver, the board and the
forge by theirs; nothing is asked of another host.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from PIL import Image

from squire_pipelines.runtime.ports import free_port
from tests.support.chromium import BrowserTab, open_tab

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FOLDER = ROOT / "docs/guide/pictures"
COLOURS = 96
DEMO_S = 1800.0
SERVER_S = 180.0
PAGE_S = 60.0
_SERVED = "The forge keeps running at "


def main() -> int:
    """Take all pictures. Returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=ROOT / "build/pictures", help="the demo's home")
    home = parser.parse_args().home.absolute()
    FOLDER.mkdir(exist_ok=True)
    environment = {**os.environ, "SQUIRE_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    with _demo(home) as forge, tempfile.TemporaryDirectory() as profile, open_tab(Path(profile)) as tab:
        with _board(environment) as board, _dagster(environment) as dagster:
            _take_all(tab, forge=forge, board=board, dagster=dagster)
        report = Path(profile) / "report.html"
        command = [str(BIN / "squire"), "history", "report", "--html", str(report)]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=SERVER_S)
        tab.open(report.as_uri(), width=1000)
        _save(tab, "report", 1000)
    print(f"{sum(picture.stat().st_size for picture in FOLDER.glob('*.png')) / 1000:.0f} kB in {FOLDER}")
    return 0


def _take_all(tab: BrowserTab, *, forge: str, board: str, dagster: str) -> None:
    tab.open(f"{board}/tasks", width=1000)
    _save(tab, "board", 720)
    tab.open(f"{board}/tasks?status=succeeded", width=1000)
    # The task that has a pull request with the longest life was made first.
    tab.open(tab.evaluate("[...document.querySelectorAll('tbody th a')].at(-1).href"), width=1000)
    _save(tab, "task", 1500)
    of_run = "[...document.querySelectorAll('dt')].find((one) => one.textContent == 'Run').nextElementSibling"
    run = tab.evaluate(f"{of_run}.textContent").strip()
    pull = tab.evaluate("[...document.querySelectorAll('a')].map((one) => one.href).find((it) => /pull/.test(it))")
    tab.open(f"{forge}{urlsplit(pull).path}", width=1000)
    _save(tab, "pull-request", 1000)
    tab.open(f"{dagster}/runs/{run}", width=1400)
    _wait(tab, "/publish/.test(document.body.innerText)")
    _save(tab, "run", 900)
    tab.open(f"{dagster}/assets/task_plan?view=lineage&lineageScope=neighborhood&lineageDepth=1", width=1400)
    _wait(tab, "/open_issues/.test(document.body.innerText)")
    _save(tab, "lineage", 900)


def _save(tab: BrowserTab, name: str, height: int) -> None:
    """Write a picture with so few colours that a repository can have it."""
    picture = Image.open(io.BytesIO(tab.picture(height))).convert("RGB")
    small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(FOLDER / f"{name}.png", optimize=True)
    print(f"{name}: {(FOLDER / f'{name}.png').stat().st_size / 1000:.0f} kB")


def _wait(tab: BrowserTab, condition: str) -> None:
    """Wait until a page that builds itself has been built."""
    deadline = time.monotonic() + PAGE_S
    while not tab.evaluate(condition):
        _expect(time.monotonic() < deadline, f"the page never came to {condition}")
        time.sleep(0.5)
    time.sleep(3)  # what moves in it comes to rest


@contextmanager
def _demo(home: Path) -> Iterator[str]:
    """Run the demo in a home to its end, and serve its forge: yields the address."""
    command = [str(BIN / "squire"), "demo", "--home", str(home), "--runner", "local", "--stay", "--timeout", "900"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            line = next((line for line in demo.stdout or () if line.startswith(_SERVED)), "")
            _expect(bool(line), "the demo has not come to its end: run it again")
            yield line.removeprefix(_SERVED).partition(";")[0]
        finally:
            demo.terminate()


@contextmanager
def _board(environment: dict[str, str]) -> Iterator[str]:
    command = [sys.executable, "-m", "squire_pipelines.board"]
    settings = {"SQUIRE_BOARD__PORT": "0", "LOGNAME": "ada"}  # whom the board greets
    with subprocess.Popen(command, env=environment | settings, stdout=subprocess.PIPE, text=True) as board:
        try:
            yield next(iter(board.stdout or ()), "").partition('"url": "')[2].partition('"')[0]
        finally:
            board.terminate()


@contextmanager
def _dagster(environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [str(BIN / "dagster-webserver"), "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    output = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + SERVER_S
            while not _answers(url):
                _expect(time.monotonic() < deadline, "Dagster's webserver has not started")
                time.sleep(1)
            yield url
        finally:
            server.terminate()


def _expect(is_so: bool, otherwise: str) -> None:  # noqa: FBT001 - it reads like an assertion
    if not is_so:
        raise SystemExit(f"squire: error: {otherwise}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/server_info", timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
