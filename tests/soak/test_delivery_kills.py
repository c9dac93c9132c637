"""The receiver, and who does what deliveries say, are killed again and again under load: each effect is there once.

`SQUIRE_SOAK_DELIVERY_KILLS` sets how often (500): each turn kills the one, the other, or both.
"""

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from squire_pipelines.ledger import outcomes, tables
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.delivery_watch import DeliveryWatch
from squire_pipelines.settings.model import Settings
from tests.support.deliveries import ReceiverProcess, headers
from tests.support.delivery_worker import work_once
from tests.support.ledgers import add_task

KILLS = int(os.environ.get("SQUIRE_SOAK_DELIVERY_KILLS", "500"))
REPOSITORY = "acme/shop"
CALLERS, MOST = 4, 20
HEAD = "a" * 40
LATER = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
"""After the pull requests were opened: what is older changes nothing."""
_WAIT_S = 30.0


def merge_of(number: int) -> bytes:
    """The body of the delivery that says that a pull request was merged."""
    pull = {
        "number": number,
        "html_url": f"https://github.test/{REPOSITORY}/pull/{number}",
        "state": "closed",
        "title": "Fix it",
        "user": {"login": "squire[bot]"},
        "merged": True,
        "merged_at": LATER,
        "updated_at": LATER,
        "head": {"ref": f"squire/{number}", "sha": HEAD},
        "base": {"ref": "main"},
    }
    repository = {"id": 1, "full_name": REPOSITORY}
    content = {"action": "closed", "pull_request": pull, "repository": repository, "sender": {"login": "mara"}}
    return json.dumps(content).encode()


def open_pull(ledger: Ledger, number: int) -> str:
    """Make a task whose pull request is open, and return it."""
    task_id = add_task(ledger, repository=REPOSITORY)
    with ledger.write() as tx:
        url = f"https://github.test/{REPOSITORY}/pull/{number}"
        outcomes.record_opened(tx, task_id=task_id, repository=REPOSITORY, pr_number=number, pr_url=url, head_sha=HEAD)
    return task_id


def start_worker(home: Path) -> "subprocess.Popen[str]":
    """Start a process that does what deliveries say, and wait until it does."""
    environment = ReceiverProcess.environment(home, SQUIRE_LOGGING__LEVEL="error")
    command = [sys.executable, "-m", "tests.support.delivery_worker"]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def deliver(
    receiver: ReceiverProcess, numbers: Iterator[int], after: int, victims: Sequence["subprocess.Popen[str]"]
) -> set[int]:
    """Deliver merges from several callers, kill once `after` are acknowledged, and return all that were."""
    acknowledged: set[int] = set()
    lock, enough, over = threading.Lock(), threading.Event(), threading.Event()

    def call() -> None:
        with httpx.Client(base_url=receiver.url, timeout=10) as client:
            while not over.is_set():
                with lock:
                    number = next(numbers)
                body = merge_of(number)
                signed = headers(body, delivery=f"d-{number}", event="pull_request")
                try:
                    answer = client.post("/webhooks/github", content=body, headers=signed)
                except httpx.TransportError:
                    return
                if answer.is_success:
                    acknowledged.add(number)
                if len(acknowledged) >= after:
                    enough.set()

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    assert enough.wait(_WAIT_S)
    for victim in victims:
        victim.kill()
    over.set()
    for caller in callers:
        caller.join(_WAIT_S)
        assert not caller.is_alive()
    return acknowledged


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_whoever_is_killed_each_delivery_that_was_acknowledged_has_its_effect_once(tmp_path: Path) -> None:
    chance = random.Random(29)  # noqa: S311 - moments of kills
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.ensure_schema()
    tasks: dict[int, str] = {}

    def next_numbers() -> Iterator[int]:
        while True:
            number = len(tasks) + 1
            tasks[number] = open_pull(ledger, number)
            yield number

    numbers = next_numbers()
    receiver = ReceiverProcess.start(tmp_path, SQUIRE_LOGGING__LEVEL="error")
    worker = start_worker(tmp_path)
    acknowledged: set[int] = set()
    try:
        for turn in range(KILLS):
            victims = [(worker,), (receiver.process,), (receiver.process, worker)][turn % 3]
            after = chance.randrange(1, MOST)
            acknowledged |= deliver(receiver, numbers, after, victims)
            if worker in victims:
                worker.communicate(timeout=_WAIT_S)
                worker = start_worker(tmp_path)
            if receiver.process in victims:
                receiver.end()
                receiver = ReceiverProcess.start(tmp_path, SQUIRE_LOGGING__LEVEL="error")
    finally:
        worker.kill()
        worker.communicate(timeout=_WAIT_S)
        receiver.end()

    settings = Settings(ledger_url=f"sqlite:///{tmp_path / 'ledger.sqlite'}", repositories=(REPOSITORY,))
    work_once(settings, ledger, DeliveryWatch(lambda: settings))
    row, event = tables.deliveries.c, tables.task_events.c
    with ledger.read() as tx:
        stored = {one.delivery_id: one for one in tx.execute(select(tables.deliveries))}
        assert {f"d-{number}" for number in acknowledged} <= stored.keys()
        assert tx.execute(select(func.count()).where(row.applied_at.is_(None))).scalar_one() == 0
        assert tx.execute(select(func.count()).where(row.collected_at.is_(None))).scalar_one() == 0
        for name, delivery in stored.items():
            task_id = tasks[int(name.removeprefix("d-"))]
            effects = [one.effect for one in effects_of(tx, (delivery.id,))]
            merged = select(func.count()).where(event.task_id == task_id, event.after == "merged")
            assert (name, effects.count("outcome"), tx.execute(merged).scalar_one()) == (name, 1, 1)
    ledger.close()
