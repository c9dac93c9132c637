"""How long Dagster keeps a run that is over: a rule of its job, its end and its age. Deleting is `jobs.run_purge`'s."""

from dataclasses import dataclass
from datetime import datetime, timedelta

ATTEMPT_JOB = "agent_run"
"""The job whose runs people look at: what an attempt did, step by step."""


@dataclass(frozen=True, slots=True)
class RunRetention:
    """For how long runs are kept after their end.

    Args:
        attempts: Runs of attempts that succeeded.
        routine: Runs of all other jobs that succeeded.
        failed: Runs that failed or were cancelled.
        most: Runs that are kept at all, whatever their age.
    """

    attempts: timedelta
    routine: timedelta
    failed: timedelta
    most: int

    @property
    def shortest(self) -> timedelta:
        """After which a run may be due at the earliest."""
        return min(self.attempts, self.routine, self.failed)

    def is_due(self, job: str, ended_at: datetime, now: datetime, *, succeeded: bool) -> bool:
        """Return whether a run that is over was kept for long enough."""
        keep = self.failed if not succeeded else self.attempts if job == ATTEMPT_JOB else self.routine
        return ended_at < now - keep
