"""What Squire reports on a commit that it pushed: by a check run, or by a status where the token has no more. Pure.

The report is no check: it passes and fails nothing, and does not count where checks are read.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

CHECK_NAME = "Squire"
"""The name of our check run. Whatever has it is not counted among a commit's checks."""

STATUS_CONTEXT = "squire"
"""The same of a commit status."""

MAX_REPORTS_OF_HEAD = 200
"""So often a report on one commit is changed at most; GitHub keeps 1,000 statuses of one context."""


class ReportPlace(StrEnum):
    """Where a repository takes a report on a commit; `NONE`: nowhere, the token may write neither."""

    CHECK_RUN = "check_run"
    STATUS = "status"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class HeadReport:
    """What is reported on one commit.

    Args:
        title: One line: where the pull request stands.
        summary: Markdown: what Squire did, and what the pull request waits for.
        url: Leads to the details.
        settled: Whether nothing more is to be said of this commit.
    """

    title: str
    summary: str
    url: str
    settled: bool

    @property
    def digest(self) -> str:
        """The same for the same words."""
        return sha256(f"{self.title}\0{self.summary}\0{self.url}".encode()).hexdigest()
