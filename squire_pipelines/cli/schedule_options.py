"""`squire tasks new --every|--at`: a request that becomes a task later, at each time of a cron text or once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from squire_pipelines.cli.context import CliContext, Decorator, emit_json
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.request_options import RequestOptions
from squire_pipelines.cli.schedule_rows import as_json as schedule_as_json
from squire_pipelines.cli.schedule_rows import local_time
from squire_pipelines.domain.cron_times import check_cron
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.schedules import Rhythm, parse_start
from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.ledger import schedules
from squire_pipelines.ledger.schedules import NewSchedule
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.sections.types import check_time_zone
from squire_pipelines.terminal.output import write_line

_DEFAULT_ZONE = "UTC"


def schedule_options(callback: Callable[..., object]) -> Callable[..., object]:
    """Add the options by which a request becomes a task later."""
    options: tuple[Decorator, ...] = (
        click.option(
            "--every",
            metavar="CRON",
            help="Make a task at each of these times: minute, hour, day, month, day of week; or @daily and so on.",
        ),
        click.option("--at", metavar="TIME", help="Make the task then, once: a date and time like 2027-01-15T09:00."),
        click.option(
            "--timezone",
            metavar="ZONE",
            help="Mean the clocks of this zone by --every and --at, like Europe/Berlin; by default UTC.",
        ),
    )
    for option in reversed(options):
        callback = option(callback)
    return callback


def _checked(check: Callable[[str], str], text: str, option: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """What the options say of when: `every` or `at`, as they were written, and the zone that they mean."""

    every: str | None
    at: str | None
    time_zone: str

    @classmethod
    def parse(cls, every: str | None, at: str | None, time_zone: str | None) -> "ScheduleOptions | None":
        """Return what is asked for; None for a task now. Raises UsageError, BadParameter."""
        if every is None and at is None:
            if time_zone is not None:
                raise click.UsageError("--timezone says whose clocks --every or --at mean: give one of them")
            return None
        if every is not None and at is not None:
            raise click.UsageError("--every and --at exclude each other: give one of them")
        zone = _checked(check_time_zone, time_zone, "--timezone") if time_zone is not None else _DEFAULT_ZONE
        if every is not None:
            every = _checked(check_cron, " ".join(every.split()), "--every")
        return cls(every, at, zone)

    def described(self) -> dict[str, str]:
        """Return what a person is shown of it before it is made."""
        name, value = ("every", self.every) if self.every is not None else ("at", self.at)
        return {name: f"{value} ({self.time_zone})"}

    def create(
        self,
        context: CliContext,
        request: RequestOptions,
        repository: str,
        *,
        base_branch: str,
        branch: str | None,
        as_json: bool,
    ) -> None:
        """Create the schedule and say so.

        Raises:
            UsageError: The request has options that a schedule cannot have.
            BadParameter: A time that is none or past.
            ConfigError: The repository is not one of the settings, or the agent cannot be.
            RefusedError: The repository has as many schedules as it may have.
        """
        if branch is not None:
            raise click.UsageError("--branch names the branch of one task now: each task of a schedule has its own")
        if request.depends_on:
            raise click.UsageError("--depends-on is about tasks of now: leave it out with --every and --at")
        name = context.settings.spelling_of(repository)
        if name is None:
            raise ConfigError(
                f"{repository} is not among the repositories of the settings",
                hint=f"add it to `repositories` in {context.config_path}",
            )
        spec = request.spec(name, base_branch=base_branch)
        most = settings_in(context.ledger, context.settings, name).dispatch.max_schedules
        trace_id = new_trace_id()
        with bound_context(trace_id=trace_id), context.ledger.write() as tx:
            next_at = self._first_time(tx.now)
            rhythm = Rhythm(self.every, self.time_zone, None if self.every else next_at)
            new = NewSchedule(name, spec, rhythm, next_at, actor(), request.is_held, request.template)
            schedule = schedules.create(tx, new, most=most, trace_id=trace_id)
        if as_json:
            emit_json(schedule_as_json(schedule))
            return
        write_line(f"{schedule.id}: the first task comes {local_time(next_at, self.time_zone)}")
        write_line(f"Next: `squire schedules show {schedule.id}` says what came of it; `squire dev` has to run then.")

    def _first_time(self, now: datetime) -> datetime:
        if self.at is not None:
            try:
                return parse_start(self.at, self.time_zone, now)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="--at") from error
        following = Rhythm(self.every, self.time_zone).after(now)
        return (following or now).astimezone(UTC)
