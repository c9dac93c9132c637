"""Runs a failed check that the code need not have failed again, once, before an agent is paid for it."""

from datetime import timedelta
from typing import TYPE_CHECKING

from squire_pipelines.domain import reruns as rules
from squire_pipelines.domain.reruns import Rerun, RerunState
from squire_pipelines.domain.signals import Collection, Source
from squire_pipelines.github.evidence import reruns as requests
from squire_pipelines.ledger import reruns as rows
from squire_pipelines.sections import CiSettings

if TYPE_CHECKING:
    from squire_pipelines.github.client import GitHubClient
    from squire_pipelines.ledger.store import Ledger


async def decide_reruns(
    client: "GitHubClient", ledger: "Ledger", reading: Collection, settings: CiSettings, *, trace_id: str
) -> Collection:
    """Return a reading of failed checks with what is known of their second runs, after requesting those that are due.

    Other readings, and one of a source that did not answer, are returned as they are.
    """
    if reading.source is not Source.FAILED_CI or not reading.status.source_answered or not settings.rerun:
        return reading
    checks = rules.failed_checks(reading.signals)
    with ledger.read() as tx:
        known = rows.known(tx, reading.repository, {check.head_sha for check in checks})
        now = tx.now
    changed: list[Rerun] = []
    failing = {(check.head_sha, check.workflow_run) for check in checks}
    for rerun in requests.due(tuple(known.values())):
        # While its checks fail in the old run, the new one has not begun for us to see.
        passed = None if rerun.subject in failing else await requests.has_passed(client, rerun)
        settled = rules.settle(rerun, checks, passed=passed, now=now)
        if settled.state is not RerunState.WAITING:
            changed.append(settled)
    until = now + timedelta(seconds=settings.rerun_wait_s)
    requested = rules.to_request(reading.repository, rules.that_may_start(reading.signals), known, now=now, until=until)
    for rerun in requested[: requests.MAX_PER_READING]:
        with ledger.write() as tx:
            claimed = rows.claim(tx, rerun, trace_id=trace_id)
        changed.append(await requests.request(client, rerun) if claimed else rerun)
    if changed:
        with ledger.write() as tx:
            for rerun in changed:
                rows.record(tx, rerun)
    known |= {rerun.subject: rerun for rerun in changed}
    return reading.model_copy(update={"signals": rules.with_reruns(reading.signals, known)})
