"""`squire workers`: which processes take runs from the queue, and having one take no more."""

from dataclasses import asdict
from typing import Any

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    with_home,
    with_home_to_read,
    write_fields,
)
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.person import actor
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import workers as worker_rows
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.workers import Worker
from squire_pipelines.terminal.output import write_line

workers = LazyGroup(name="workers", help="Show and drain the workers that take runs on several machines.")

_COLUMNS: Columns = {
    "name": "name",
    "state": "state",
    "runs": lambda worker: f"{worker.running}/{worker.slots}",
    "queues": lambda worker: ", ".join(_named_queues(worker)),
    "host": "host",
    "version": "version",
    "seen": "seen_at",
    "why": lambda worker: worker.refusal or "",
}


def _named_queues(worker: Worker) -> list[str]:
    return [queue for queue in worker.queues if not queue.startswith("worker.")]


def _as_json(worker: Worker) -> dict[str, Any]:
    return {**asdict(worker), "can_adopt": sorted(worker.can_adopt), "queues": _named_queues(worker)}


def _read(context: CliContext) -> tuple[Worker, ...]:
    with context.ledger.read() as tx:
        return worker_rows.read_all(tx, lost_after_s=context.settings.workers.lost_after_s)


def _find(context: CliContext, name: str) -> Worker:
    for worker in _read(context):
        if worker.name == name:
            return worker
    raise NotFoundError(f"there is no worker {name!r}", hint="`squire workers list` shows those that there are")


@workers.command("list", examples=("squire workers list", "squire workers list --json"))
@json_option
@with_home_to_read
def list_workers(context: CliContext, *, as_json: bool) -> None:
    """List the workers, with those that ended or were lost within a week."""
    read = _read(context)
    rows = [_as_json(worker) for worker in read] if as_json else read
    empty = "There are no workers: `squire worker` starts one, where workers.broker_url names a broker."
    context.write_list(rows, _COLUMNS, as_json=as_json, empty=empty, spare=("version", "host", "why"))


@workers.command("show", examples=("squire workers show build-3",))
@click.argument("name")
@json_option
@with_home_to_read
def show_worker(context: CliContext, name: str, *, as_json: bool) -> None:
    """Show one worker: where it is, what it takes, when it was seen last, and why it takes nothing."""
    worker = _find(context, name)
    if as_json:
        emit_json(_as_json(worker))
        return
    columns: Columns = {
        **_COLUMNS,
        "labels": lambda row: ", ".join(row.labels),
        "process": "pid",
        "schema": "schema_revision",
        "started": "started_at",
        "draining since": "draining_at",
        "ended": "ended_at",
    }
    write_fields(worker, columns)


@workers.command("drain", examples=("squire workers drain build-3",))
@click.argument("name")
@with_home
def drain_worker(context: CliContext, name: str) -> None:
    """Have a worker take no more runs, and end when those under way are over."""
    worker = _find(context, name)
    with context.ledger.write() as tx:
        asked = worker_rows.ask_to_drain(tx, name)
        if asked:
            record_audit(tx, actor=actor(), action="worker.drained", subject=name, trace_id=None)
    if asked:
        write_line(f"worker {name} takes no more runs; {worker.running} are under way there")
    else:
        write_line(f"worker {name} is {worker.state} already")
