"""The sections of the settings about signals: when and from where they are read, and which of them start work."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, JsonValue, model_validator

from squire_pipelines.domain.authority import (
    DEFAULT_APPROVE_LABEL,
    DEFAULT_BOTS,
    DEFAULT_REJECT_LABEL,
    DEFAULT_RELEASE_LABEL,
)
from squire_pipelines.domain.failures import DEFAULT_IGNORED
from squire_pipelines.domain.filters import SignalFilters
from squire_pipelines.domain.reading_times import parse_quiet_hours, seconds_until_due
from squire_pipelines.sections.types import (
    CheckPattern,
    Cron,
    Glob,
    Label,
    Name,
    QuietSpan,
    RepositoryName,
    Seconds,
    SecondsOrNone,
    SettingsSection,
    TimeZone,
)

MAX_PATTERNS = 200
_MAX_TIMES = 2 * 24 * 60
"""Of a schedule, that are looked at for one outside of the quiet hours: two days of every minute."""

_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class CollectionSettings(SettingsSection):
    """Reading signals."""

    schedule: Cron = Field(default="*/10 * * * *", description="when all repositories are read, in `time_zone`")
    interval_s: int | None = Field(default=None, ge=60, le=7 * 86400, multiple_of=60, description="instead of schedule")
    time_zone: TimeZone = "UTC"
    quiet_hours: QuietSpan | None = Field(default=None, description="from-to, in which only what is asked for is read")
    source_timeout_s: Seconds = 30
    max_concurrent_repositories: int = Field(
        default=32, ge=1, le=64, description="more than requests, which go out while answers are recorded"
    )
    max_items: int = Field(default=500, ge=1, le=5000, description="per source and repository")
    ttl_s: SecondsOrNone = Field(default=300, description="a look so young stands for a new one on the schedule")
    full_every_s: Seconds = Field(default=3600, description="each repository is read whole, whatever its looks show")

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if self.interval_s is not None and "schedule" in self.model_fields_set:
            raise ValueError("interval_s and schedule are two answers to one question: set one of them")
        if self.quiet_hours is not None and self.next_reading(_ANY_TIME) is None:
            raise ValueError("all times of the schedule lie in the quiet hours: nothing would ever be read")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of `schedule` and `quiet_hours`."""
        return ZoneInfo(self.time_zone)

    def is_quiet(self, moment: datetime) -> bool:
        """Return whether nothing is read by the clock at this time."""
        return self.quiet_hours is not None and parse_quiet_hours(self.quiet_hours).contain(moment, self.zone)

    def next_reading(self, now: datetime) -> datetime | None:
        """Return the next time at which the clock has all read; None when the quiet hours leave none."""
        return next((moment for moment in islice(self._times(now), _MAX_TIMES) if not self.is_quiet(moment)), None)

    def interval(self, now: datetime) -> timedelta:
        """Return the time between the next two readings by the clock, without regard to quiet hours."""
        first, second = islice(self._times(now), 2)
        return second - first

    def _times(self, now: datetime) -> Iterator[datetime]:
        """Yield the times of the schedule after `now`, without an end."""
        if self.interval_s is not None:
            while True:
                now += timedelta(seconds=seconds_until_due(now, self.interval_s))
                yield now
        from croniter.croniter import croniter  # noqa: PLC0415 - only the schedule needs it

        schedule = croniter(self.schedule, now.astimezone(self.zone))
        while True:
            upcoming: datetime = schedule.get_next(datetime)
            yield upcoming.astimezone(UTC)


class SourceSettings(SettingsSection):
    """A source of signals that an installed package offers. To name it switches it on."""

    enabled: bool = True
    may_start: bool = Field(default=False, description="work starts from its facts; else they are only shown")
    timeout_s: Seconds = 30
    options: dict[str, JsonValue] = Field(default_factory=dict, description="for the source, which checks them")


class FilterSettings(SettingsSection):
    """Which signals are for Squire. Each list that is empty lets everything pass."""

    sources: Annotated[tuple[Name, ...], Field(max_length=50)] = Field(default=(), description="read these alone")
    labels: Annotated[tuple[Label, ...], Field(max_length=MAX_PATTERNS)] = ()
    ignore_labels: Annotated[tuple[Label, ...], Field(max_length=MAX_PATTERNS)] = ()
    authors: Annotated[tuple[Name, ...], Field(max_length=MAX_PATTERNS)] = ()
    ignore_authors: Annotated[tuple[Name, ...], Field(max_length=MAX_PATTERNS)] = ()
    branches: Annotated[tuple[Glob, ...], Field(max_length=MAX_PATTERNS)] = ()
    paths: Annotated[tuple[Glob, ...], Field(max_length=MAX_PATTERNS)] = ()
    drafts: bool = Field(default=True, description="remarks on drafts are for Squire too")

    @property
    def rules(self) -> SignalFilters:
        """What decides about a signal that was seen."""
        return SignalFilters(
            sources=self.sources,
            labels=self.labels,
            ignore_labels=self.ignore_labels,
            authors=self.authors,
            ignore_authors=self.ignore_authors,
            branches=self.branches,
            paths=self.paths,
            drafts=self.drafts,
        )

    def reads(self, source: str) -> bool:
        """Return whether a source is read."""
        return not self.sources or source in self.sources


class CiSettings(SettingsSection):
    """Which failed checks are work for an agent."""

    ignore: tuple[CheckPattern, ...] = Field(
        default=DEFAULT_IGNORED, description="checks that no change of the code makes pass, with * and ?"
    )
    rerun: bool = Field(default=True, description="what the code need not have failed, once before a task is made")
    rerun_wait_s: Seconds = Field(default=3600, description="for the end of the second run; then a task is made")
    evidence_timeout_s: Seconds = Field(default=60, description="for the logs of one repository's failed checks")


class TrustSettings(SettingsSection):
    """Who may start work by what they write: people with a permission, review bots of a list, and who is released."""

    bots: tuple[Name, ...] = Field(default=DEFAULT_BOTS, description="Apps whose review remarks start work, by login")
    min_permission: Literal["triage", "write", "maintain", "admin"] = "write"
    release_label: Label = Field(
        default=DEFAULT_RELEASE_LABEL, description="set by such a person, it releases what is held"
    )
    approve_label: Label = Field(
        default=DEFAULT_APPROVE_LABEL, description="set by such a person on an issue, it approves its proposed tasks"
    )
    reject_label: Label = Field(default=DEFAULT_REJECT_LABEL, description="likewise, it rejects them")
    permission_ttl_s: Seconds = Field(default=3600, description="how long GitHub's word on a person is kept")
    max_kept_permissions: int = Field(default=10_000, ge=100, le=1_000_000)
    max_questions: int = Field(default=50, ge=1, le=1000, description="people asked about in one reading")
    repository_files: bool = Field(default=True, description="a repository may tighten settings in .github/squire.toml")
    presets: Annotated[tuple[RepositoryName, ...], Field(max_length=100)] = Field(
        default=(), description="further repositories whose files such a file may extend"
    )
