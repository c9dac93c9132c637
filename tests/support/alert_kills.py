"""Alerts under kills: conditions come and go, the process that tells of them is killed, a receiver counts.

The process's clock runs two hundred times as fast as the machine's, so that an alert is over in an eighth of a second.
"""

import json
import logging
import multiprocessing
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Event
from pathlib import Path

from squire_pipelines.alerting.sender import AlertSender
from squire_pipelines.alerting.watch import AlertWatch
from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.settings.model import load_settings

NAMES = ("engine", "github", "daemon", "disk", "models")
_SPEED = 200
_PATIENCE_S = 600.0
_LONGEST_LIFE_S = 3.0
_HELD_S = 0.05
_START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Kills:
    """What the receiver got: of each alert the messages by kind, and ids that came more than once."""

    kills: int = 0
    outages: int = 0
    messages: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    ids: "Counter[str]" = field(default_factory=Counter)

    @property
    def alerts(self) -> int:
        """How many alerts there were: one for each outage."""
        return len({alert for alert, _ in self.messages})

    @property
    def wrong(self) -> dict[tuple[str, str], int]:
        """The alerts that were told of not exactly once, by different messages."""
        kinds = ("new", "over")
        alerts = {alert for alert, _ in self.messages}
        counts = {(alert, kind): len(self.messages.get((alert, kind), ())) for alert in alerts for kind in kinds}
        return {name: count for name, count in counts.items() if count != 1}

    @property
    def repetitions(self) -> int:
        """How often a message came again with the same id."""
        return sum(count - 1 for count in self.ids.values())


def tell(home: str, world: str, began: float, is_up: Event) -> None:
    """Look at the conditions in a file and tell of them, until somebody kills this process."""
    logging.disable(logging.CRITICAL)
    # The fork server has the environment of whichever test started it: by that, the ledger would be another one's.
    os.environ["SQUIRE_HOME"] = home

    def now() -> datetime:
        return _START + timedelta(seconds=(time.time() - began) * _SPEED)

    settings = load_settings(Path(home) / "config.toml")
    # A ledger that is away is another test's: on a busy machine a lock may be waited for longer than usual.
    watch = AlertWatch(
        lambda: settings, machine="host", clock=now, monotonic=lambda: now().timestamp(), busy_timeout_s=_PATIENCE_S
    )
    with AlertSender(lambda: settings, watch, every_s=0.02, clock=now):
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            down = json.loads(Path(world).read_text(encoding="utf-8"))
            watch.look([_condition(name, down=name in down, at=now()) for name in NAMES])
            is_up.set()  # from here on all is imported, and a look takes milliseconds
            time.sleep(0.005)


def _condition(name: str, *, down: bool, at: datetime) -> Condition:
    level = HealthLevel.DOWN if down else HealthLevel.OK
    return Condition(name, level, "it is gone", "bring it back", at, at, 600)


@contextmanager
def _receiver(kills: Kills, arrived: threading.Event) -> Iterator[str]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            message = self.headers["webhook-id"]
            with lock:
                kills.ids[message] += 1
                for alert in body["alerts"]:
                    kills.messages[alert["id"], alert["kind"]].add(message)
            arrived.set()
            time.sleep(_HELD_S)  # whoever is killed now has sent it, and does not know
            try:
                self.send_response(200)
                self.end_headers()
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()


def live(home: Path, kills: int, seed: int) -> Kills:
    """Have conditions come and go while the process that tells of them is killed so many times.

    Args:
        home: Has a ledger with its schema, and gets the settings.
        kills: How many.
        seed: Of the moments.
    """
    chance, result, arrived = random.Random(seed), Kills(), threading.Event()  # noqa: S311 - no secret
    world = home / "world.json"
    world.write_text("[]", encoding="utf-8")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    with _receiver(result, arrived) as url:
        (home / "config.toml").write_text(f'[alerts]\nwebhook_url = "{url}"\n', encoding="utf-8")
        began, down, deadline = time.time(), set[str](), time.monotonic() + _PATIENCE_S + 5 * kills
        while True:
            is_last = result.kills >= kills
            _turn(world, down, result, chance, is_last=is_last)
            arrived.clear()
            is_up = processes.Event()
            process = processes.Process(target=tell, args=(str(home), str(world), began, is_up))
            process.start()
            if is_last or chance.random() < 4 / 5:  # else it is killed at its beginning
                is_up.wait(_PATIENCE_S)
            try:
                if is_last:
                    _wait_for(result, "new", deadline)
                    _turn(world, down, result, chance, is_last=True)
                    _wait_for(result, "over", deadline)
                    return result
                if chance.random() < 1 / 3:
                    arrived.wait(_LONGEST_LIFE_S)  # right after something was sent
                else:
                    time.sleep(chance.uniform(0, _LONGEST_LIFE_S))
            finally:
                process.kill()
                process.join(_PATIENCE_S)
            result.kills += 1


def _turn(world: Path, down: set[str], result: Kills, chance: random.Random, *, is_last: bool) -> None:
    """Let one thing fail, or come back whose failure was told of; in the end all come back."""
    counts = Counter(kind for _, kind in tuple(result.messages))
    is_known, is_over = counts["new"] >= result.outages, counts["over"] >= result.outages
    if down and is_known and (is_last or chance.random() < 1 / 2):
        down.clear()
    elif not down and is_over and not is_last:
        down.update(chance.sample(NAMES, chance.randint(1, 3)))
        result.outages += len(down)
    world.with_suffix(".new").write_text(json.dumps(sorted(down)), encoding="utf-8")
    world.with_suffix(".new").rename(world)


def _wait_for(result: Kills, kind: str, deadline: float) -> None:
    """Wait until each outage was told of by a message of that kind. Raises TimeoutError."""
    while sum(1 for _, of_kind in tuple(result.messages) if of_kind == kind) < result.outages:
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all alerts were told of as {kind} in time")
        time.sleep(0.02)
    time.sleep(_HELD_S * 4)  # what comes twice comes now
