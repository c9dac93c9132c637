"""`squire trace`: what happened from a delivery to a pull request, as a tree in the terminal."""

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_home_to_read
from squire_pipelines.cli.lazy import command
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.domain.spans import Span
    from squire_pipelines.ledger.trace_lookup import TraceSubject

MAX_LINES = 500
MAX_WIDTH = 160


@command(
    "trace",
    examples=(
        "squire trace t0m1e2x3a4m5p6l                        # a task, from what began it",
        "squire trace https://github.com/acme/api/pull/7",
        "squire trace 4bf92f                                 # a trace, by the beginning of its id",
        "squire trace 4bf92f --json",
    ),
)
@click.argument("name", metavar="ID")
@click.option(
    "--all", "shows_all", is_flag=True, help="Of a task, show what else the same delivery or tick caused, too."
)
@json_option
@with_home_to_read
def trace(context: CliContext, name: str, *, shows_all: bool, as_json: bool) -> None:
    """Show what happened in a trace, as a tree: when it began, how long it took, and how it ended.

    ID is a trace's id or its beginning, a task's, an attempt's, a plan's or a delivery's id, or the URL of a pull
    request. Of a task, an attempt and a pull request the task's own story is shown, as the ledger has it now.
    """
    from squire_pipelines.cli.trace_text import trace_lines  # noqa: PLC0415 - the help starts sooner
    from squire_pipelines.domain.spans import story_of  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger.trace_lookup import find_trace  # noqa: PLC0415 - likewise

    with context.ledger.read() as tx:
        subject = find_trace(tx, name)
        now = tx.now
    spans = _read(context, subject)
    if subject.task_id is not None and not shows_all:
        spans = story_of(spans, subject.task_id)
    if as_json:
        emit_json({"trace_id": subject.trace_id, "task_id": subject.task_id, "spans": [asdict(span) for span in spans]})
        return
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    for line in trace_lines(spans, now=now, width=width, most=MAX_LINES):
        write_line(line)


def _read(context: CliContext, subject: "TraceSubject") -> "tuple[Span, ...]":
    """Return the spans from the ledger, or of what has left it, from what was published. Raises NotFoundError."""
    from squire_pipelines.errors import NotFoundError, WarehouseError  # noqa: PLC0415 - the help starts sooner
    from squire_pipelines.warehouse.spans import published_spans, spans_of  # noqa: PLC0415 - likewise

    with context.ledger.read() as tx:
        spans = spans_of(tx, [subject.trace_id])
    if subject.task_id is not None and not any(span.task_id == subject.task_id for span in spans):
        spans = ()  # the task was archived, and with it most of its trace
    if spans:
        return spans
    try:
        spans = published_spans(context.warehouse, [subject.trace_id])
    except WarehouseError:
        spans = ()  # nothing was published yet
    if not spans:
        raise NotFoundError(
            f"nothing is known of trace {subject.trace_id}",
            hint="rows older than `retention` leave the ledger; the warehouse has them once it was published",
        )
    return spans
