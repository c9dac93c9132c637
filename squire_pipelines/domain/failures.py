"""What counts as a failed check, and what it failed of: the code, the infrastructure, or chance. Pure.

Of all runs of one check on one head, the newest decides: a check that failed at ten and passed at eleven has passed.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

FAILED_CONCLUSIONS = frozenset({"failure", "timed_out", "startup_failure", "error"})
"""Conclusions of check runs, and states of commit statuses, that are a failure.

`action_required` waits for a person, `cancelled` was done by somebody or by a newer push, `stale` was given up by
GitHub; `skipped` and `neutral` are no failures. https://docs.github.com/graphql/reference/enums#checkconclusionstate
"""

_EVENTS_OF_BRANCH = frozenset({"push", "schedule", "workflow_dispatch", "merge_group"})
"""What starts a workflow on a branch when nobody acted but people who may write, or the clock.

On others, such as `issue_comment`, a workflow runs at the default branch's last commit for whoever comments.
https://docs.github.com/actions/reference/events-that-trigger-workflows
"""

_EVENTS_OF_PULL_REQUEST = _EVENTS_OF_BRANCH | {"pull_request", "pull_request_target"}

DEFAULT_IGNORED = (
    # Agreements that a person has to sign.
    "license/cla",
    "*cla?assistant*",
    "*/cla",
    "*/cla-*",
    "cla?check*",
    "cla?signed*",
    "*contributor license agreement*",
    "cla/*",
    "cla",
    "easycla",
    "dco",
    "dco/*",
    # Percentages of coverage.
    "codecov",
    "codecov/*",
    "coverage/coveralls",
    "coveralls*",
    "codeclimate/*-coverage",
    # Previews that somebody else's service builds.
    "netlify/*",
    "deploy/netlify",
    "vercel",
    "vercel/*",
    "vercel *",
    "cloudflare pages*",
    "cloudflare-workers-and-pages/*",
    "workers builds*",
    "deploy?preview*",
    "*preview deployment*",
    "render*preview*",
    "header rules - *",
    "pages changed - *",
    "redirect rules - *",
    "mixed content - *",
    # The pull request's title, the messages of commits that are there, and labels.
    "semantic-pull-request*",
    "semantic pull request*",
    "semantic pr*",
    "*conventional?commit*",
    "*pr title*",
    "*pr-title*",
    "*pull request title*",
    "*label check*",
    "*check label*",
    "*check-label*",
    "*required label*",
    "*require-label*",
    "pr?label*",
    "pull request label*",
    "labeler",
    "label",
)
"""Checks that no change of the code makes pass, by name, `workflow / name` or `app/name`."""

_QUEUED = datetime.max.replace(tzinfo=UTC)
_MAX_TEXT_CHARS = 200_000
_INFRASTRUCTURE = re.compile(
    r"(?P<runner>the (?:hosted|self-hosted) runner (?:lost communication|encountered an error)|"
    r"runner has received a shutdown signal|lost communication with the server)"
    r"|(?P<space>no space left on device|not enough (?:disk )?space|disk quota exceeded)"
    r"|(?P<network>could not resolve host|temporary failure in name resolution|connection (?:timed out|reset by peer)|"
    r"i/o timeout|tls handshake timeout|etimedout|econnreset|eai_again|read timed out|network is unreachable|"
    r"(?:502 bad gateway|503 service unavailable|504 gateway time-?out)|toomanyrequests|rate limit exceeded)",
    re.IGNORECASE,
)
_REASONS = {
    "runner": "its runner was lost",
    "space": "its runner had no space left",
    "network": "a connection of its runner failed",
}


class FailureClass(StrEnum):
    """What a check failed of."""

    CODE = "code"
    INFRASTRUCTURE = "infrastructure"
    FLAKY = "flaky"


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One run of a check, or one commit status, on a head.

    Args:
        app: The slug of the App that reports it; None for a commit status.
        workflow: The name of its workflow; None for what is no job of a workflow.
        name: The check's name or the status's context.
        conclusion: In lower case; None while it has not ended.
        started_at: When it began, or was set; None where GitHub does not say.
        ended_at: When it ended.
        position: Where it stands among the records that it was read with.
    """

    app: str | None
    workflow: str | None
    name: str
    conclusion: str | None
    started_at: datetime | None
    ended_at: datetime | None
    position: int

    @property
    def identity(self) -> tuple[str | None, str | None, str]:
        """What the runs of one check have in common."""
        return self.app, self.workflow, self.name

    @property
    def has_failed(self) -> bool:
        """Whether it ended as a failure."""
        return self.conclusion in FAILED_CONCLUSIONS

    @property
    def full_name(self) -> str:
        """The workflow's name with the check's."""
        return f"{self.workflow} / {self.name}" if self.workflow else self.name

    @property
    def age(self) -> tuple[datetime, datetime, int]:
        """What runs of one check are ordered by."""
        # What has neither time is queued: nothing can be newer. GitHub lists runs in the order in which they were made.
        began = self.started_at or self.ended_at or _QUEUED
        return began, self.ended_at or _QUEUED, self.position


@dataclass(frozen=True, slots=True)
class CheckHistory:
    """The runs of one check on one head."""

    newest: CheckRecord
    earlier: tuple[CheckRecord, ...] = ()

    @property
    def passed_before(self) -> bool:
        """Whether an earlier run on the same head passed."""
        return any(record.conclusion == "success" for record in self.earlier)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a check failed of, and the rule that says so."""

    kind: FailureClass
    reason: str


def histories(records: Iterable[CheckRecord]) -> tuple[CheckHistory, ...]:
    """Return the history of each check of a head, in the order in which the checks first appear."""
    by_check: dict[tuple[str | None, str | None, str], list[CheckRecord]] = defaultdict(list)
    for record in records:
        by_check[record.identity].append(record)
    ordered = (sorted(group, key=lambda record: record.age) for group in by_check.values())
    return tuple(CheckHistory(group[-1], tuple(group[:-1])) for group in ordered)


def ignored_by(record: CheckRecord, patterns: Sequence[str]) -> str | None:
    """Return the pattern by which a check is ignored, None when it is not.

    `*` stands for any characters and `?` for one; upper and lower case are the same.
    """
    names = [record.name, record.full_name, *([f"{record.app}/{record.name}"] if record.app else [])]
    folded = [name.casefold() for name in names]
    return next((pattern for pattern in patterns if any(map(_compiled(pattern).fullmatch, folded))), None)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    folded = re.sub(r"\*+", "*", pattern.casefold())
    return re.compile("".join(parts.get(sign) or re.escape(sign) for sign in folded), re.DOTALL)


def classify(history: CheckHistory, text: str = "") -> Failure:
    """Say what a failed check failed of.

    A check that passed before on the same head is flaky. One that could not start, or whose report or log says that its
    runner was lost, had no space or no connection, failed of the infrastructure. Any other failed of the code.

    Args:
        history: The newest run has failed.
        text: What it reports, and the part of its log that was read.
    """
    if history.passed_before:
        return Failure(FailureClass.FLAKY, "it passed before on the same commit")
    if history.newest.conclusion == "startup_failure":
        return Failure(FailureClass.INFRASTRUCTURE, "it could not start")
    return classify_text(text)


def classify_text(text: str) -> Failure:
    """Say what a check failed of by the words of its report or its log alone."""
    match = _INFRASTRUCTURE.search(text[:_MAX_TEXT_CHARS])
    if match is not None:
        return Failure(FailureClass.INFRASTRUCTURE, _REASONS[match.lastgroup or "runner"])
    return Failure(FailureClass.CODE, "")


def is_own_event(event: str | None, *, on_default_branch: bool) -> bool:
    """Return whether nobody but people who may write, or the clock, can have started a check's run."""
    return event is None or event in (_EVENTS_OF_BRANCH if on_default_branch else _EVENTS_OF_PULL_REQUEST)
