"""What a signal says, for a person who decides about it. Pure."""

import difflib
from collections.abc import Iterator
from datetime import UTC

from squire_pipelines.domain.signals import FailedCheck, ManualTask, OpenIssue, PluginFact, ReviewFinding, Signal


def signal_text(signal: Signal) -> str:
    """Return the text of a signal, which its author wrote, or how a check failed; empty for one without."""
    match signal.details:
        case OpenIssue() | ReviewFinding() | ManualTask() | PluginFact() as details:
            return details.body
        case FailedCheck() as check:
            return f"{check.conclusion} at {check.head_sha}{_cause(check)}\n{check.summary}"
        case _:
            return ""


def _cause(check: FailedCheck) -> str:
    """Return what the check failed of, where that is not the code, and what its second run brought."""
    cause = f"\nfailed of: {check.failure.value}, since {check.failure_reason}" if check.failure_reason else ""
    moment = check.waits_until
    until = f", waited for until {moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if moment else ""
    note = f" ({check.rerun_note})" if check.rerun_note else ""
    return cause + (f"\nsecond run: {check.rerun}{until}{note}" if check.rerun else "")


def changes_since_approval(signal: Signal) -> Iterator[str]:
    """Yield the lines of the difference between an issue's text that was approved and the present one."""
    if not isinstance(signal.details, OpenIssue) or signal.details.unapproved is None:
        return iter(())
    present = signal.details.unapproved
    approved = f"{signal.title}\n\n{signal.details.body}".splitlines()
    later = f"{present.title}\n\n{present.body}".splitlines()
    return difflib.unified_diff(approved, later, "approved", "now", lineterm="")
