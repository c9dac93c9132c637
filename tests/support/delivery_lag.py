"""From a delivery to what follows from it, by the real receiver, endpoint and daemon: `measure`.

Starts a forge and the processes of `squire dev` in a home of its own, and sends it deliveries at random moments, by
turns: one that asks for a reading alone, the end of a pull request of ours, and `/squire approve` of somebody who may.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.runtime.ports import free_port
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.model import load_settings
from tests.support.deliveries import SECRET, headers
from tests.support.ledgers import NONE_APPROVED, add_task

REPOSITORY, QUIET = "demo/ledgerlib", "demo/quiet"
PERSON = "mara"
_PATIENCE_S = 120.0
_HEAD = "a" * 40


@dataclass(frozen=True, slots=True)
class DeliveryLag:
    """Seconds from when deliveries were received to what followed: a run was submitted, or an effect was done."""

    run_s: tuple[float, ...]
    outcome_s: tuple[float, ...]
    approval_s: tuple[float, ...]


def _configure(home: Path, api_url: str, receiver: int) -> None:
    (home / "config.toml").write_text(
        f"""repositories = ["{REPOSITORY}", "{QUIET}"]
[github]
api_url = "{api_url}"
min_write_interval_s = 0
[collection]
schedule = "0 0 1 1 *"
[planner]
kind = "rules"
approve = "manual"
[agent]
kind = "command"
runner = "local"
command = ["true"]
[webhooks]
port = {receiver}
[observability]
port = {free_port()}
""",
        encoding="utf-8",
    )


def _issue() -> tuple[str, dict[str, Any]]:
    return "issues", {"action": "opened", "issue": {"number": 1}, "repository": {"full_name": QUIET}}


def _end_of(number: int) -> tuple[str, dict[str, Any]]:
    at = datetime.now(UTC).isoformat()
    pull = {
        "number": number,
        "html_url": f"https://forge.test/{REPOSITORY}/pull/{number}",
        "state": "closed",
        "updated_at": at,
        "closed_at": at,
        "head": {"ref": "squire/x", "sha": _HEAD},
    }
    return "pull_request", {"action": "closed", "repository": {"full_name": REPOSITORY}, "pull_request": pull}


def _approval_of(task_id: str, number: int) -> tuple[str, dict[str, Any]]:
    comment = {
        "id": number,
        "body": f"/squire approve {task_id}",
        "html_url": f"https://forge.test/{REPOSITORY}/issues/1#issuecomment-{number}",
        "created_at": (datetime.now(UTC) + timedelta(seconds=1)).isoformat(),
        "user": {"login": PERSON, "type": "User"},
    }
    issue = {"number": 1, "title": "An issue"}
    envelope = {"action": "created", "repository": {"full_name": REPOSITORY}}
    return "issue_comment", {**envelope, "comment": comment, "issue": issue}


def _send(url: str, event: str, content: dict[str, Any], number: int) -> int:
    """Deliver something; return its row."""
    body = json.dumps(content).encode()
    signed = headers(body, delivery=f"lag-{number}", event=event)
    answer = httpx.post(f"{url}/webhooks/github", content=body, headers=signed, timeout=10.0)
    answer.raise_for_status()
    return int(answer.json()["id"])


@contextmanager
def _running(home: Path) -> Iterator[tuple[str, Ledger, Services]]:
    """Start everything; yield the receiver's URL, the ledger and the processes."""
    port = free_port()
    os.environ |= {"SQUIRE_HOME": str(home), "SQUIRE_WEBHOOK_SECRET": SECRET.decode()}
    with ForgeProcess.start(home / "forge") as forge:
        for sample in build_samples(home / "samples"):
            if sample.full_name in {REPOSITORY, QUIET}:
                forge.host_repository(sample)
        forge.act_as(REPOSITORY, PERSON, permission="write")
        os.environ["SQUIRE_GITHUB_TOKEN"] = forge.token
        _configure(home, forge.api_url, port)
        settings = load_settings()
        ledger = open_ledger(settings.resolved_ledger_url)
        with Services(settings, say=lambda text: print(text, file=sys.stderr)) as services:  # noqa: T201 - progress
            services.start_receiver()
            services.start_endpoint()
            services.start_daemon()
            yield f"http://127.0.0.1:{port}", ledger, services
        ledger.close()


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5.0).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    sys.exit("the receiver is not ready")


def _prepare(ledger: Ledger, count: int) -> tuple[list[int], list[str]]:
    """Have pull requests of ours, and tasks that wait for an approval; return the numbers and the tasks."""
    numbers, waiting = [], []
    for place in range(count):
        task_id = add_task(ledger, repository=REPOSITORY, approval=NONE_APPROVED, title=f"Open {place}")
        numbers.append(1000 + place)
        with ledger.write() as tx:
            outcomes.record_opened(
                tx,
                task_id=task_id,
                repository=REPOSITORY,
                pr_number=numbers[-1],
                pr_url=f"https://forge.test/{REPOSITORY}/pull/{numbers[-1]}",
                head_sha=_HEAD,
            )
        waiting.append(add_task(ledger, repository=REPOSITORY, approval=NONE_APPROVED, title=f"Approve {place}"))
    return numbers, waiting


def _effect_s(ledger: Ledger, rows: Sequence[int], effect: Effect) -> tuple[float, ...]:
    with ledger.read() as tx:
        received = dict(map(tuple, tx.execute(delivery_table.select().with_only_columns(*_MOMENTS))))
        done = {one.delivery: one.at for one in effects_of(tx, rows) if one.effect == effect}
        now = tx.now
    # One that never came counts for as long as was waited.
    return tuple((done.get(row, now) - received[row]).total_seconds() for row in rows)


_MOMENTS = (delivery_table.c.id, delivery_table.c.received_at)


def _run_s(ledger: Ledger, rows: Sequence[int], home: Path) -> tuple[float, ...]:
    with ledger.read() as tx:
        received = dict(map(tuple, tx.execute(delivery_table.select().with_only_columns(*_MOMENTS))))
        now = tx.now
    submitted: dict[int, datetime] = {}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for record in instance.get_run_records(dg.RunsFilter(job_name="collect"), ascending=True):
            config: Any = record.dagster_run.run_config
            for row in config["ops"]["collect_signals"]["config"]["deliveries"]:
                submitted.setdefault(row, record.create_timestamp)
    return tuple((submitted.get(row, now) - received[row]).total_seconds() for row in rows)


def measure(count: int, *, seed: int = 17) -> DeliveryLag:
    """Send `count` deliveries of each of the three kinds, and return how long what followed took."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    with tempfile.TemporaryDirectory(prefix="sq-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        with _running(home) as (url, ledger, services):
            _wait_until_ready(url)
            numbers, waiting = _prepare(ledger, count)
            _send(url, *_issue(), number=0)
            time.sleep(15.0)  # the first runs import everything
            rows: dict[str, list[int]] = {"issues": [], "pull_request": [], "issue_comment": []}
            for place in range(count):
                for kind in (_issue(), _end_of(numbers[place]), _approval_of(waiting[place], 5000 + place)):
                    time.sleep(chance.uniform(3.0, 9.0))
                    services.keep_up()
                    sent = sum(map(len, rows.values())) + 1
                    rows[kind[0]].append(_send(url, *kind, number=sent))
            time.sleep(30.0)
            everything = [row for members in rows.values() for row in members]
            dagster_home = load_settings().home.dagster
            return DeliveryLag(
                run_s=_run_s(ledger, everything, dagster_home),
                outcome_s=_effect_s(ledger, rows["pull_request"], Effect.OUTCOME),
                approval_s=_effect_s(ledger, rows["issue_comment"], Effect.COMMAND),
            )
