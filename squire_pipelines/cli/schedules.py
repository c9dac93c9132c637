"""`squire schedules`: requests that become tasks later, at each time of a cron text or once."""

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    Decorator,
    emit_json,
    json_option,
    page_options,
    with_home,
    with_home_to_read,
    write_fields,
)
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import (
    ACTIVE_SCHEDULE,
    KEPT_SCHEDULE,
    PAUSED_SCHEDULE,
    SCHEDULE_ID,
    CompletedText,
    repository_option,
    tenant_option,
)
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.schedule_rows import as_json as schedule_as_json
from squire_pipelines.cli.schedule_rows import local_time, when
from squire_pipelines.cli.text import instant
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.schedules import ScheduleState
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.ledger import schedules as schedule_rows
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.terminal.output import write_line

_RUNS_SHOWN = 20

schedules = LazyGroup(
    name="schedules", help="Show and change schedules: requests that become tasks later, at each of their times."
)


@schedules.command("list", examples=("squire schedules list", "squire schedules list --repository owner/name --all"))
@repository_option
@tenant_option
@click.option("--all", "with_ended", is_flag=True, help="Also list those that are done or removed.")
@page_options(str)
def list_schedules(
    context: CliContext, /, limit: int, after: str | None, *, with_ended: bool, as_json: bool, **whose: str | None
) -> None:
    """List schedules, newest first. `squire tasks new --every` and `--at` make them."""
    with context.ledger.read() as tx:
        page = schedule_rows.page(
            tx,
            repository=whose["repository"],
            tenant=whose["tenant"],
            with_ended=with_ended,
            after=after,
            limit=limit,
        )
    columns: Columns = {
        "id": "id",
        "repository": "repository",
        "title": "title",
        "when": when,
        "state": "state",
        "next task": lambda schedule: local_time(schedule.next_at, schedule.time_zone),
        "by": "created_by",
    }
    rows = [schedule_as_json(schedule) for schedule in page] if as_json else page
    empty = 'There are no schedules: `squire tasks new OWNER/NAME TEXT --every "0 3 * * 1"` makes one.'
    context.write_list(rows, columns, as_json=as_json, empty=empty, limit=limit, spare=("by", "next task"))


@schedules.command("show", examples=("squire schedules show s0m1e2x3a4m5p6l",))
@click.argument("schedule_id", metavar="ID", type=SCHEDULE_ID)
@json_option
@with_home_to_read
def show(context: CliContext, schedule_id: str, *, as_json: bool) -> None:
    """Show a schedule, what it asks for, and what came of its last times: a task, or why there was none."""
    with context.ledger.read() as tx:
        schedule = schedule_rows.get(tx, schedule_id)
        runs = schedule_rows.runs(tx, schedule_id, limit=_RUNS_SHOWN)
    if as_json:
        emit_json({**schedule_as_json(schedule), "runs": runs})
        return
    columns: Columns = {
        "id": "id",
        "repository": "repository",
        "title": "title",
        "template": "template",
        "when": lambda row: f"{when(row)}, by the clocks of {row.time_zone}",
        "state": "state",
        "next task": lambda row: local_time(row.next_at, row.time_zone),
        "its tasks": lambda row: "wait for `squire tasks start`" if row.hold else "",
        "made by": "created_by",
        "made at": "created_at",
        "ended": "ended_at",
        "trace": "trace_id",
    }
    write_fields(schedule, columns)
    if schedule.spec is not None:
        write_line("")
        for line in plain(schedule.spec.prompt).splitlines():
            write_line(f"    {line}")
    write_line("\nWhat came of its times")
    if not runs:
        write_line("None has come yet.")
        return
    times: Columns = {
        "due": lambda run: local_time(run.due_at, schedule.time_zone),
        "until": lambda run: local_time(run.last_due_at, schedule.time_zone) if run.times > 1 else "",
        "times": "times",
        "missed": lambda run: run.missed or "",
        "task": "task_id",
        "skipped because": "skipped",
        "looked at": lambda run: instant(run.at),
    }
    context.write_rows(runs, times, spare=("looked at", "until"), wrap=("skipped because",))


def _ids_argument(kind: CompletedText) -> Decorator:
    return click.argument("schedule_ids", metavar="ID...", type=kind, nargs=-1, required=True)


@schedules.command("pause", examples=("squire schedules pause s0m1e2x3a4m5p6l",))
@_ids_argument(ACTIVE_SCHEDULE)
@with_home
def pause(context: CliContext, schedule_ids: tuple[str, ...]) -> None:
    """Let schedules make no tasks until they are resumed. Tasks that are there already go on."""
    _change(context, schedule_ids, ScheduleState.PAUSED, "paused")


@schedules.command("resume", examples=("squire schedules resume s0m1e2x3a4m5p6l",))
@_ids_argument(PAUSED_SCHEDULE)
@with_home
def resume(context: CliContext, schedule_ids: tuple[str, ...]) -> None:
    """Let paused schedules go on from now: no time that came meanwhile is made up for."""
    _change(context, schedule_ids, ScheduleState.ACTIVE, "goes on")


@schedules.command("remove", examples=("squire schedules remove s0m1e2x3a4m5p6l",))
@_ids_argument(KEPT_SCHEDULE)
@with_home
def remove(context: CliContext, schedule_ids: tuple[str, ...]) -> None:
    """Remove schedules for good. Tasks that are there already go on."""
    _change(context, schedule_ids, ScheduleState.REMOVED, "removed")


def _change(context: CliContext, schedule_ids: tuple[str, ...], state: ScheduleState, done: str) -> None:
    """Bring schedules into a state: all that are named, or none where one cannot be."""
    trace_id = new_trace_id()
    with bound_context(trace_id=trace_id), context.ledger.write() as tx:
        changed = [
            schedule_rows.change_state(tx, schedule_id, state, actor=actor(), trace_id=trace_id)
            for schedule_id in dict.fromkeys(schedule_ids)
        ]
    for schedule in changed:
        following = local_time(schedule.next_at, schedule.time_zone)
        write_line(f"{schedule.id}: {done}{f'; the next task comes {following}' if following else ''}")
