"""Types and completions of the commands' parameters."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from squire_pipelines.domain.identity import parse_repository

_AGO = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_span(text: str) -> timedelta:
    """`7d`, `12h`, `30m`, `45s` or `2w` as a time span. Raises ValueError."""
    if match := _AGO.fullmatch(text.strip().lower()):
        return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])
    raise ValueError(f"{text!r} is no time span: for example 7d, 12h or 30m")


def parse_moment(text: str, now: datetime) -> datetime:
    """A date or time as ISO 8601 has it (UTC unless it says otherwise), or a span before `now`. Raises ValueError."""
    try:
        return now - parse_span(text)
    except (ValueError, OverflowError):
        pass  # it is a date, or wrong
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time: for example 2026-03-01, 2026-03-01T12:00Z, 7d or 12h") from error


class MomentType(click.ParamType[datetime]):
    """A date, a time, or how long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, aware and in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SpanType(click.ParamType[timedelta]):
    """A time span."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_span(value)
        except (ValueError, OverflowError) as error:
            self.fail(str(error), param, ctx)


class RepositoryType(click.ParamType[str]):
    """`owner/name`, or the URL of a repository's page."""

    name = "owner/name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The repository's name."""
        try:
            return parse_repository(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TaskIdType(click.ParamType[str]):
    """A task's id, completed from the ledger."""

    name = "id"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - the library's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The newest tasks' ids."""
        from squire_pipelines.cli.fast_list import complete_task_ids  # noqa: PLC0415 - only completion needs it
        from squire_pipelines.cli.text import one_line  # noqa: PLC0415 - likewise

        config = ctx.find_root().params.get("config")
        found = complete_task_ids(config, incomplete)
        return [CompletionItem(task_id, help=one_line(title, limit=60)) for task_id, title in found]


REPOSITORY = RepositoryType()
TASK_ID = TaskIdType()
MOMENT = MomentType()
SPAN = SpanType()
repository_option = click.option("--repository", type=REPOSITORY, help="Only this repository.")
