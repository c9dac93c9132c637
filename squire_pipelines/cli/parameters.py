"""Types and completions of the commands' parameters."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from squire_pipelines.domain.branches import parse_branch
from squire_pipelines.domain.identity import parse_repository, repository_host
from squire_pipelines.domain.tenants import parse_tenant

_Value = TypeVar("_Value")
_SPAN = re.compile(r"(\d{1,6})\s*(min|[smhdw])")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_span(text: str) -> timedelta:
    """Parse `7d`, `12h`, `30m`, `45s` or `2w` as a time span. Raises ValueError."""
    if match := _SPAN.fullmatch(text.strip().lower()):
        return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])
    raise ValueError(f"{text!r} is not a time span: write for example 7d, 12h or 30m")


def parse_moment(text: str, now: datetime) -> datetime:
    """Parse a date or time of ISO 8601 (in UTC unless it says otherwise), or a span before `now`. Raises ValueError."""
    try:
        return now - parse_span(text)
    except (ValueError, OverflowError):
        pass  # it is a date, or an error
    try:
        return parse_date(text)
    except ValueError as error:
        raise ValueError(f"{error}, 7d or 12h") from error


def parse_date(text: str) -> datetime:
    """Parse a date or time of ISO 8601, in UTC unless it says otherwise. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: write for example 2026-03-01, 2026-03-01T12:00Z") from error


class ParsedType(click.ParamType[_Value]):
    """A parameter that a function parses; what is wrong with the text is the function's ValueError."""

    def __init__(self, name: str, parse: Callable[[str], _Value]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _Value:
        """Return the parsed value, or the value itself if it was parsed before."""
        try:
            parsed: _Value = self._parse(value) if isinstance(value, str) else value
        except (ValueError, OverflowError) as error:
            self.fail(str(error), param, ctx)
        return parsed


class CompletedText(click.ParamType[str]):
    """A text that completion knows: `completes` says of what kind, and behind a colon in which states.

    Args:
        name: As the help calls it.
        completes: As `completion` finds it, such as `task:proposed`.
    """

    def __init__(self, name: str, completes: str) -> None:
        self.name = name
        self.completes = completes


def _own_host(ctx: click.Context) -> str | None:
    """Return the host of the settings' GitHub; None where they cannot be read, which the command itself tells."""
    from squire_pipelines.cli.context import CliContext  # noqa: PLC0415 - it imports this module's users
    from squire_pipelines.errors import SquireError  # noqa: PLC0415 - only a URL needs it

    context = ctx.find_object(CliContext)
    try:
        return None if context is None else context.settings.github.host
    except SquireError:
        return None


class RepositoryType(ParsedType[str]):
    """A repository's name or URL, completed from the settings."""

    completes = "repository"

    def __init__(self) -> None:
        super().__init__("owner/name", parse_repository)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the repository's name, of a URL that is of the settings' GitHub."""
        name = super().convert(value, param, ctx)
        host = repository_host(value) if isinstance(value, str) else None
        if host is not None and ctx is not None and (own := _own_host(ctx)) is not None and host != own:
            self.fail(
                f"{value!r} is on {host}, and Squire works on the repositories of {own}: name one of those, or set "
                "github.api_url",
                param,
                ctx,
            )
        return name


def _parse_glob(text: str) -> str:
    from squire_pipelines.sections.types import check_glob  # noqa: PLC0415 - the settings' types, seldom needed

    return check_glob(text)


REPOSITORY = RepositoryType()
TASK_ID = CompletedText("id", "task")
PROPOSED_TASK = CompletedText("id", "task:proposed")
WAITING_TASK = CompletedText("id", "task:proposed,ready")
UNENDED_TASK = CompletedText("id", "task:proposed,ready,running")
ENDED_TASK = CompletedText("id", "task:failed,cancelled,succeeded")
SUCCEEDED_TASK = CompletedText("id", "task:succeeded")
ATTEMPTED_TASK = CompletedText("id", "task:attempted")
PLAN_ID = CompletedText("id", "plan")
SCHEDULE_ID = CompletedText("id", "schedule")
ACTIVE_SCHEDULE = CompletedText("id", "schedule:active")
PAUSED_SCHEDULE = CompletedText("id", "schedule:paused")
KEPT_SCHEDULE = CompletedText("id", "schedule:active,paused")
SETTING_KEY = CompletedText("key", "setting")
AGENT = CompletedText("text", "agent")
BRANCH = ParsedType("branch", parse_branch)
GLOB = ParsedType("glob", _parse_glob)
MOMENT = ParsedType("time", lambda text: parse_moment(text, datetime.now(UTC)))
DATE = ParsedType("time", parse_date)
SPAN = ParsedType("span", parse_span)
TENANT = ParsedType("tenant", parse_tenant)
tenant_option = click.option("--tenant", type=TENANT, metavar="NAME", help="Select only what is this tenant's.")
repository_option = click.option("--repository", type=REPOSITORY, help="Select only this repository.")
