"""Reports on each commit that Squire pushed what it did and what its pull request waits for: a look at what differs.

What is to be reported follows from the ledger as it is now. So a run that died, a crash in between and a lost answer
leave a difference, which the next look finds; what GitHub has is known by its digest, so that nothing is written twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.own_reports import MAX_REPORTS_OF_HEAD, HeadReport, ReportPlace
from squire_pipelines.errors import GitHubPermissionError, SquireError
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.head_reports import put_check_run, put_status
from squire_pipelines.ledger import followed_pulls, head_reports
from squire_pipelines.ledger.followed_pulls import OwnWork
from squire_pipelines.ledger.head_reports import ReportedHead, UnsettledHead
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.head_words import WorkOnPull, head_report, replaced_report

_PER_LOOK = 40
"""So many reports are written in one look, since writes keep a distance; the others follow in the next."""


@dataclass(frozen=True, slots=True)
class _DueReport:
    head: ReportedHead
    report: HeadReport
    place: ReportPlace | None


def has_to_report(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether there is anything to report on commits of ours. Changes nothing."""
    return bool(_due(ledger, settings_of, limit=1))


async def report_heads(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """Report what is to be reported; return on how many commits. What fails is tried again later, a few times."""
    count = 0
    for due in _due(ledger, settings_of, limit=_PER_LOOK):
        with ledger.write() as tx:
            head = head_reports.begin(tx, due.head, due.report)
            place = head_reports.place_of(tx, due.head.repository)
        if head is None or place is ReportPlace.NONE:
            continue
        try:
            place, run_id = await _write(client, head, due.report, place)
        except SquireError as error:
            with ledger.write() as tx:
                given_up = head_reports.record_error(tx, head, due.report, str(error))
            then = "given up" if given_up else "it is tried again later"
            log.warning("%s: no report on %s, %s: %s", head.repository, head.head_sha[:10], then, error)
            continue
        with ledger.write() as tx:
            head_reports.record_report(tx, head, due.report, place, check_run_id=run_id)
        count += place is not ReportPlace.NONE
    return count


async def _write(
    client: GitHubClient, head: ReportedHead, report: HeadReport, place: ReportPlace | None
) -> tuple[ReportPlace, int | None]:
    """Write a report where the repository takes it; return where that is, and the check run's id."""
    if place is not ReportPlace.STATUS:
        try:
            name, known = f"squire:{head.task_id}", head.check_run_id
            run_id = await put_check_run(client, head.repository, head.head_sha, name, report, known=known)
        except GitHubPermissionError:
            pass  # a personal token, or an App without the right: a status says the same in one line
        else:
            return ReportPlace.CHECK_RUN, run_id
    try:
        await put_status(client, head.repository, head.head_sha, report)
    except GitHubPermissionError:
        return ReportPlace.NONE, None
    return ReportPlace.STATUS, None


def _due(ledger: Ledger, settings_of: SettingsOf, *, limit: int) -> list[_DueReport]:
    """Return the reports that differ from what GitHub has, of repositories that take any."""
    due: list[_DueReport] = []
    places: dict[str, ReportPlace | None] = {}
    with ledger.read() as tx:
        for head, report in (*_present(tx, settings_of), *_past(tx, settings_of)):
            is_spent = head.reports >= MAX_REPORTS_OF_HEAD and not report.settled
            if is_spent or not head.is_due(report, tx.now):
                continue
            if head.repository not in places:
                places[head.repository] = head_reports.place_of(tx, head.repository)
            if places[head.repository] is ReportPlace.NONE:
                continue
            due.append(_DueReport(head, report, places[head.repository]))
            if len(due) == limit:
                break
    return due


def _present(tx: Transaction, settings_of: SettingsOf) -> Iterator[tuple[ReportedHead, HeadReport]]:
    """Yield the heads of open pull requests that we pushed, with what is to be reported on them."""
    followed_ones = [
        followed
        for followed in followed_pulls.read_followed(tx)
        if followed.outcome.state is PullRequestState.OPEN
        and followed.outcome.head_sha in followed.own_heads
        and _is_reported(settings_of, followed.outcome.repository)
    ]
    known = head_reports.of_heads(tx, [(one.outcome.repository, one.outcome.head_sha) for one in followed_ones])
    for followed in followed_ones:
        outcome = followed.outcome
        head = known.get((outcome.repository, outcome.head_sha))
        if head is None:
            new = (outcome.repository, outcome.head_sha)
            head = head_reports.new_head(*new, task_id=outcome.task_id, number=outcome.pr_number)
        work = _work(outcome.task_id, followed.work)
        yield head, head_report(outcome.follow_state, outcome.follow_reason, work, url=outcome.pr_url)


def _past(tx: Transaction, settings_of: SettingsOf) -> Iterator[tuple[ReportedHead, HeadReport]]:
    """Yield the commits on which the last word is still to be said: another one came, or the pull request ended."""
    past = [one for one in head_reports.unsettled(tx) if _is_reported(settings_of, one.head.repository)]
    work = followed_pulls.read_work(tx, [one.head.task_id for one in past])
    for one in past:
        if (report := _last_report(one, _work(one.head.task_id, work.get(one.head.task_id, ())))) is not None:
            yield one.head, report


def _last_report(past: UnsettledHead, work: list[WorkOnPull]) -> HeadReport | None:
    """Return the last report on a commit; None where the step that ended its pull request is still to be recorded."""
    if past.present_head != past.head.head_sha:
        return replaced_report(past.present_head, work, url=past.url)
    report = head_report(past.state, past.reason, work, url=past.url)
    return report if report.settled else None


def _work(task_id: str, further: tuple[OwnWork, ...]) -> list[WorkOnPull]:
    """Return the task that opened a pull request, and those after it."""
    kinds = ((one, one.follow_up.kind if one.follow_up is not None else None) for one in further)
    first = WorkOnPull(task_id, None, opened_it=True)
    return [first, *(WorkOnPull(one.task_id, one.status, kind) for one, kind in kinds)]


def _is_reported(settings_of: SettingsOf, repository: str) -> bool:
    return settings_of(repository).follow_for(repository).check_run
