"""The section `follow.merge`: whether Squire merges its own pull requests, and under which conditions."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from pydantic import Field

from squire_pipelines.domain.merging import MergeMethod, MergeRules
from squire_pipelines.domain.reading_times import parse_quiet_hours, parse_zoned_quiet_hours
from squire_pipelines.sections.types import Glob, QuietSpan, SettingsSection, TimeZone, ZonedQuietSpan


class MergeSettings(SettingsSection):
    """Whether and when Squire merges a pull request of its own; each condition must hold."""

    enabled: bool = Field(default=False, description="Squire merges what meets all conditions; else people do")
    method: MergeMethod | None = Field(
        default=None, description="the first of squash, merge, rebase that the repository allows when not set"
    )
    approvals: int = Field(
        default=1, ge=0, le=10, description="approving reviews of the head; 0 leaves them to the base's protection"
    )
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, description="the least of each review bot that judged the head; one must have"
    )
    max_files: int = Field(default=20, ge=1, le=250, description="of the change")
    max_lines: int = Field(default=500, ge=1, le=100_000, description="added and removed ones together")
    allowed_paths: tuple[Glob, ...] = Field(default=(), description="globs; none means all")
    forbidden_paths: tuple[Glob, ...] = Field(default=(), description="globs; protected paths are forbidden always")
    narrower_paths: tuple[tuple[Glob, ...], ...] = Field(
        default=(), description="further lists of globs, in each of which a path must be, too"
    )
    quiet_hours: QuietSpan | None = Field(default=None, description="from-to, in which nothing is merged")
    timezone: TimeZone = Field(default="UTC", description="of the quiet hours")
    more_quiet_hours: tuple[ZonedQuietSpan, ...] = Field(
        default=(), description="further spans, each with its time zone, such as 18:00-08:00 Europe/Berlin"
    )

    def rules(self, protected_paths: Sequence[str]) -> MergeRules:
        """Return the conditions; `protected_paths` are those of the policy."""
        return MergeRules(
            enabled=self.enabled,
            method=self.method,
            approvals=self.approvals,
            min_confidence=self.min_confidence,
            max_files=self.max_files,
            max_lines=self.max_lines,
            allowed_paths=self.allowed_paths,
            forbidden_paths=self.forbidden_paths,
            protected_paths=tuple(protected_paths),
            narrower_paths=self.narrower_paths,
            quiet_hours=parse_quiet_hours(self.quiet_hours) if self.quiet_hours is not None else None,
            zone=ZoneInfo(self.timezone),
            more_quiet_hours=tuple(
                (span, ZoneInfo(zone)) for span, zone in map(parse_zoned_quiet_hours, self.more_quiet_hours)
            ),
        )
