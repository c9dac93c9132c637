"""`squire logs`: the lines of all logs of a home in the order of time: all, one task's, or those that are added."""

import heapq
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import CliContext, with_home_to_read
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.log_text import LineText, json_line
from squire_pipelines.cli.parameters import ATTEMPTED_TASK, MOMENT, REPOSITORY, TASK_ID
from squire_pipelines.cli.text import counted, size
from squire_pipelines.domain.log_lines import LEVELS, LogLine, LogQuery, moment
from squire_pipelines.observability.logging import Component
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.log_reading.sources import LogSource
    from squire_pipelines.log_reading.subjects import LogSubject

POLL_S = 0.5
DEFAULT_SPAN_S = 3600.0
MAX_LINES = 100_000
_MAX_CHARACTERS = 64 * 2**20
_TRACE = re.compile(r"[0-9a-f]{8,32}")
COMPONENTS = tuple(sorted({*(one.value for one in Component), "daemon", "ledger", "webserver"} - {Component.CLI.value}))
"""Those that write lines by our logger into a log of the home, Dagster's processes, and the ledger's word on a task."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The command's options; times are `None` where none is named."""

    task: str | None
    task_option: str | None
    attempt: str | None
    trace: str | None
    repository: str | None
    components: tuple[str, ...]
    level: str
    since: datetime | None
    until: datetime | None
    limit: int
    follow: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked for: the query, what the ledger adds, and what is the same on all lines, which is not shown."""

    query: LogQuery
    history: tuple[LogLine, ...] = ()
    same: frozenset[str] = frozenset()


@command(
    "logs",
    examples=(
        "squire logs --task t0m1e2x3a4m5p6l          # the whole story of a task",
        "squire logs --since 10m --level warning",
        "squire logs --component webhooks --repository owner/name --follow",
        "squire logs --trace 91493a443b888614f2baaf983331ef09 --json",
    ),
)
@click.argument("task", metavar="[TASK]", type=ATTEMPTED_TASK, required=False)
@click.option(
    "--task", "task_option", type=TASK_ID, metavar="ID", help="Show what concerns this task, from its origin on."
)
@click.option("--attempt", metavar="ID", help="Show what concerns this attempt; with a task, its number will do.")
@click.option("--trace", metavar="ID", help="Show the lines of this trace; its first eight signs will do.")
@click.option("--repository", type=REPOSITORY, help="Show only lines of this repository.")
@click.option(
    "--component",
    "components",
    multiple=True,
    type=click.Choice(COMPONENTS),
    help="Show only lines of this part of Squire.",
)
@click.option(
    "--level",
    type=click.Choice(list(LEVELS)),
    default="info",
    show_default=True,
    help="Show only lines of this level and above; Dagster has most of its own at debug.",
)
@click.option(
    "--since", type=MOMENT, metavar="TIME", help="Begin here: 5m, 2h, 2026-03-01T12:00Z; an hour ago, or with the task."
)
@click.option("--until", type=MOMENT, metavar="TIME", help="End here.")
@click.option("-f", "--follow", is_flag=True, help="Go on with lines as they are written, until Ctrl-C.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, MAX_LINES),
    default=1000,
    show_default=True,
    metavar="N",
    help="Show the newest N of them.",
)
@click.option("--tail", type=click.IntRange(1, MAX_LINES), hidden=True, help="The old name of --limit.")
@click.option("--json", "as_json", is_flag=True, help="Write each line as an object of JSON.")
@with_home_to_read
def logs(context: CliContext, /, **values: Any) -> None:
    """Show what Squire's processes, Dagster's runs, agents and gateways wrote, in the order of time.

    With a task it is its whole story: what the ledger says of it, its attempts, their agents' own lines and calls of
    models, and what its trace names. Nothing that a terminal would act upon is shown, and no secret.
    """
    tail: int | None = values.pop("tail")
    if tail is not None:
        note(f"`squire logs --tail {tail}` is now `squire logs --limit {tail}`")
        values["limit"] = tail
    options = LogOptions(**values)
    if options.follow and options.until is not None:
        raise click.UsageError("--follow and --until do not go together")
    if options.task and options.task_option and options.task != options.task_option:
        raise click.UsageError(f"two tasks are named: {options.task} and {options.task_option}")
    question = _question(context, options)
    write = json_line if options.as_json else LineText(question.same).text
    try:
        for line in _lines(context, question, options):
            write_line(write(line))
    except KeyboardInterrupt:
        if not options.follow:
            raise


def _question(context: CliContext, options: LogOptions) -> _Question:
    """Return what is asked for. Raises NotFoundError, ConfigError, LedgerError, UsageError."""
    task, query = options.task or options.task_option, _plain_query(options)
    if task is None and options.attempt is None:
        if options.trace is not None:
            query = replace(query, traces=frozenset({_trace(options.trace)}), since=max(query.since, 0.0))
        return _Question(query if query.since >= 0 else replace(query, since=time.time() - DEFAULT_SPAN_S))
    from squire_pipelines.log_reading import subjects  # noqa: PLC0415 - with SQLAlchemy, which others do not need

    with context.ledger.read() as tx:
        subject: LogSubject
        if options.attempt is None and task is not None:
            subject, same = subjects.subject_of_task(tx, task), frozenset({"task_id"})
        else:
            attempt = options.attempt or ""
            if task is not None and attempt.isdigit():
                attempt = subjects.attempt_of(tx, task, int(attempt))
            subject, same = subjects.subject_of_attempt(tx, attempt), frozenset({"task_id", "attempt_id"})
    traces = subject.traces if options.trace is None else frozenset({_trace(options.trace)})
    since = query.since if query.since >= 0 else subject.since
    query = replace(query, ids=subject.ids, traces=traces, since=since)
    unnamed = replace(query, ids=frozenset(), traces=frozenset())
    return _Question(query, tuple(line for line in subject.history if unnamed.answers(line)), same)


def _plain_query(options: LogOptions) -> LogQuery:
    return LogQuery(
        since=max(options.since.timestamp(), 0.0) if options.since is not None else -1.0,
        until=options.until.timestamp() if options.until is not None else None,
        components=frozenset(options.components),
        least_level=options.level,
        repository=options.repository or "",
    )


def _trace(text: str) -> str:
    if not _TRACE.fullmatch(text.lower()):
        raise click.UsageError(f"{text!r} is no trace: it has 32 signs 0-9 and a-f, of which the first eight will do")
    return text.lower()


def _lines(context: CliContext, question: _Question, options: LogOptions) -> Iterator[LogLine]:
    """Yield the newest lines that answer, then, where they are followed, those that are added."""
    from squire_pipelines.log_reading.following import LogTail  # noqa: PLC0415 - the help needs none of it
    from squire_pipelines.log_reading.merging import merged_lines, runs_of_traces  # noqa: PLC0415 - likewise
    from squire_pipelines.log_reading.sources import find_sources  # noqa: PLC0415 - likewise

    bring = _bringing(context) if question.query.ids else None  # whoever asks for all needs no settings
    if bring is not None and (trouble := bring(question.query.ids)):
        note(f"logs on other machines are not shown: {trouble}")
    sources = list(find_sources(context.home, since=question.query.since))
    if question.query.traces and not question.query.ids:
        question = replace(question, query=replace(question.query, runs=runs_of_traces(sources, question.query)))
    tail = LogTail(context.home, time.time())
    ends = tail.begin(sources) if options.follow else {}
    read = heapq.merge(merged_lines(sources, question.query, ends), question.history, key=lambda line: line.at)
    newest, left_out = _newest(read, options.limit)
    if left_out:
        note(f"{counted(left_out, 'line')} before these are not shown; --limit and --until show more")
    elif not newest:
        _tell_empty(context, question, options, sources)
    yield from newest
    shown = len(question.history)
    while options.follow:
        time.sleep(POLL_S)
        if bring is not None:  # of an attempt or a run that is new
            question = _question(context, options)
            bring(question.query.ids)
        yield from tail.look(question.query, time.time())
        yield from question.history[shown:]
        shown = len(question.history)


def _bringing(context: CliContext) -> Callable[[Iterable[str]], str]:
    from squire_pipelines.log_reading.brought_logs import BroughtLogs  # noqa: PLC0415 - pydantic

    return BroughtLogs(context.settings).bring


def _newest(lines: Iterable[LogLine], limit: int) -> tuple[Iterable[LogLine], int]:
    """Return the last lines, at most `limit` and as many as may be in memory, and how many came before them."""
    newest: deque[LogLine] = deque()
    characters = count = 0
    for line in lines:
        newest.append(line)
        count += 1
        characters += len(line.text)
        while len(newest) > limit or characters > _MAX_CHARACTERS:
            characters -= len(newest.popleft().text)
    return newest, count - len(newest)


def _tell_empty(context: CliContext, question: _Question, options: LogOptions, sources: "list[LogSource]") -> None:
    total = sum(source.size for source in sources)
    since = moment(question.query.since) if question.query.since else "the beginning"
    note(
        f"no line answers: {counted(len(sources), 'log')} with {size(total)} were searched under {context.home.state}, "
        f"from {since} on"
    )
    repository = options.repository
    if repository is not None and context.settings.spelling_of(repository) is None:
        note(f"{repository} is not among the repositories of the settings")
    if options.trace is not None:
        note("`squire tasks show ID` has a task's trace; old logs are removed after `logging.files`")
