"""`squire tasks export|import|clean`: tasks as lines of JSON, tasks of the old product, and the archive."""

import io
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.audited import record_command, record_export
from squire_pipelines.cli.context import (
    CliContext,
    emit_json,
    json_option,
    with_context,
    with_home,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import SPAN
from squire_pipelines.cli.task_filters import filter_options
from squire_pipelines.cli.text import counted, size
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import ConfigError, ExitCode
from squire_pipelines.files import open_atomically
from squire_pipelines.ledger import importing
from squire_pipelines.ledger.exporting import export_tasks
from squire_pipelines.ledger.task_query import FINAL_STATUSES, TaskQuery
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import json_text, write_line

if TYPE_CHECKING:
    from squire_pipelines.warehouse.archive import ArchivingResult

_PROGRESS = 10_000


@command(
    "export",
    examples=("squire tasks export tasks.jsonl", "squire tasks export --repository owner/name | jq .task.title"),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@filter_options("status", "repository")
@with_home_to_read
def export(context: CliContext, file: Path | None, statuses: tuple[str, ...], repository: str | None) -> None:
    """Write tasks with all their facts as lines of JSON, oldest first, to FILE or standard output.

    Each line has a task with its attempts, events, outcome and model calls, all as of one moment; `squire tasks import`
    reads them back. FILE is written completely or not at all.
    """
    query = TaskQuery(statuses=statuses, repository=repository)
    record_export(context, "tasks", file or "standard output", repository=repository)
    if file is None or str(file) == "-":
        _export_lines(context, query, write_line)
        return
    try:
        with open_atomically(file) as binary, io.TextIOWrapper(binary, encoding="ascii") as stream:
            count = _export_lines(context, query, lambda line: stream.write(f"{line}\n"))
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}", hint="check that the folder exists and has room"
        ) from error
    write_line(f"wrote {counted(count, 'task')} to {file}", err=True)


def _export_lines(context: CliContext, query: TaskQuery, write: Callable[[str], object]) -> int:
    count = 0
    with context.ledger.read() as tx:
        for line in export_tasks(tx, query):
            write(json_text(line, separators=(",", ":")))
            count += 1
            if count % _PROGRESS == 0:
                write_line(f"{count} written", err=True)
    return count


@command(
    "import",
    examples=(
        "squire tasks import ~/.squire/tasks",
        "squire tasks import ./steward-state.json",
        "squire tasks import tasks.jsonl --json",
    ),
)
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@with_context
def import_tasks(context: CliContext, path: Path, *, as_json: bool) -> None:
    """Import tasks of the old product, or of an export.

    PATH is a folder of task files, one such file, Steward's state file, or a file that `squire tasks export` wrote. It
    is only read, and may be imported again: tasks that are known are skipped. Pending tasks become proposed, so that a
    person decides. When a task cannot be imported, the others are, and the exit code is 1.
    """

    def progress(count: int) -> None:
        if count % _PROGRESS == 0:
            write_line(f"{count} read", err=True)

    attempts = context.settings.dispatch.max_attempts
    record_command(context, "data.imported", str(path))
    report = importing.import_tasks(context.ledger, path.expanduser(), max_attempts=attempts, progress=progress)
    if as_json:
        counts = {"imported": report.taken, "known": report.known, "skipped": report.skipped}
        emit_json({**counts, "reasons": report.reasons, "notes": report.notes})
    else:
        _show_report(context, report)
    if report.skipped:
        raise SystemExit(ExitCode.FAILED)


def _show_report(context: CliContext, report: importing.ImportReport) -> None:
    states = ", ".join(f"{count} {status}" for status, count in report.taken.items())
    write_line(f"{sum(report.taken.values())} imported{f' ({states})' if states else ''}, {report.known} known before")
    for note, count in report.notes.items():
        write_line(f"note: {count} {note}")
    if report.skipped:
        write_line(f"{report.skipped} skipped:", err=True)
        context.write_rows(report.reasons, {"file": "file", "where": "where", "why": "reason"}, wrap=("why",))
    if report.skipped > len(report.reasons):
        write_line(f"… and {report.skipped - len(report.reasons)} more")


@command(
    "clean",
    examples=(
        "squire tasks clean --dry-run",
        "squire tasks clean",
        "squire tasks clean --older-than 30d --status failed --status cancelled",
        "squire tasks clean --home       # all that the daily job `clean` does, now",
    ),
)
@click.option("--dry-run", is_flag=True, help="Show what would be archived, and change nothing.")
@click.option("--older-than", type=SPAN, metavar="SPAN", help="Archive only tasks that ended so long ago, as 7d.")
@click.option(
    "--status",
    "statuses",
    type=click.Choice(FINAL_STATUSES),
    multiple=True,
    help="Archive only tasks in this state; may be repeated.",
)
@click.option("--home", "whole_home", is_flag=True, help="Delete old runs of Dagster and unused mirrors, too.")
@json_option
@with_home
def clean_tasks(
    context: CliContext,
    older_than: timedelta | None,
    statuses: tuple[str, ...],
    *,
    whole_home: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Archive and delete tasks that ended long ago, with all that belongs to them, and other old rows.

    The rows are written to Parquet files beside the warehouse, which still has them; the ledger keeps one line for each
    task. Tasks with an open pull request stay, and so do those that others wait for. With `--older-than` or
    `--status`, only tasks are archived. With `--home` it is the whole job `clean` of the daemon, at once.
    """
    if whole_home:
        if older_than is not None or statuses:
            raise click.UsageError("--home does not go together with --older-than and --status")
        _clean_home(context, dry_run=dry_run, as_json=as_json)
        return
    from squire_pipelines.file_store.opening import store_of  # noqa: PLC0415 - likewise
    from squire_pipelines.upkeep.row_retention import retention_from  # noqa: PLC0415 - likewise
    from squire_pipelines.warehouse.archive import archive_old_rows  # noqa: PLC0415 - DuckDB

    rules = retention_from(context.settings.retention)
    if older_than is not None or statuses:
        kept_for = rules.keep["tasks"] if older_than is None else older_than
        selected = tuple(TaskStatus(status) for status in statuses) or rules.statuses
        rules = replace(rules, keep={"tasks": kept_for}, statuses=selected)

    def progress(table: str, count: int) -> None:
        write_line(f"{table}: {count} archived", err=True)

    result = archive_old_rows(
        context.ledger,
        context.home.archive,
        rules,
        dry_run=dry_run,
        most=context.settings.retention.max_rows_per_run,
        progress=progress,
        store=store_of(context.settings),
    )
    if as_json:
        content = asdict(result)
        content["held"] = content.pop("kept")
        emit_json(content)
    else:
        _show_cleaned(result)


def _clean_home(context: CliContext, *, dry_run: bool, as_json: bool) -> None:
    from squire_pipelines.cli.run import hand_on_config  # noqa: PLC0415 - Dagster
    from squire_pipelines.runtime.home_cleaning import clean_home, due_in_home, instance_of_home  # noqa: PLC0415 - likewise

    hand_on_config(context)
    with instance_of_home(context.settings) as instance, live_line("looking for what is old enough"):
        if dry_run:
            parts = due_in_home(context.settings, context.ledger, instance)
        else:
            parts = clean_home(instance, config_file=os.environ.get("SQUIRE_CONFIG"))
    if as_json:
        emit_json({"dry_run": dry_run, "parts": parts})
        return
    shown = {
        part: ", ".join(f"{name} {value}" for name, value in counts.items() if isinstance(value, int) and value)
        for part, counts in parts.items()
    }
    for part, text in shown.items():
        if text:
            write_line(f"{part}: {text}")
    if not any(shown.values()):
        write_line("Nothing is old enough.")
    elif dry_run:
        write_line("Nothing was changed: these are what would be archived and deleted now.")


def _show_cleaned(result: "ArchivingResult") -> None:
    verb = "would be archived" if result.dry_run else "archived and deleted"
    if not result.rows:
        write_line("Nothing is old enough to be archived.")
    for table, count in result.rows.items():
        write_line(f"{table}: {count} {verb}")
    for reason, count in result.kept.items():
        write_line(f"tasks: {count} stay: {reason}")
    if result.files:
        write_line(f"{counted(len(result.files), 'file')}, {size(result.bytes)}")
    if result.more:
        write_line("More rows are old enough: run the command again.")
