"""From an attempt's row and folder to its pull request, and from there back to the ledger."""

import asyncio
from dataclasses import replace

from pydantic import JsonValue

from squire_pipelines.agents.attempt_files import BUNDLE_FILE, DIFF_FILE, read_notes
from squire_pipelines.agents.model import AttemptFolder
from squire_pipelines.domain.change import Decision, Verdict
from squire_pipelines.domain.endings import STOPPED_FOR, Cause, Ending, Evidence
from squire_pipelines.domain.leftovers import leftovers_note
from squire_pipelines.domain.outcomes import ReviewState
from squire_pipelines.domain.requests import requester_of
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.conflicts import merge_of
from squire_pipelines.execution.kept_work import bundle_branch_of, doer_of, evidence_of_work
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.planned_checks import spec_for_agent
from squire_pipelines.execution.pull_request_story import last_words, resolved_issues
from squire_pipelines.execution.pushed_heads import pushed_heads, record_pushed
from squire_pipelines.execution.stored_work import mark_pushing
from squire_pipelines.execution.usage_recorder import web_search_note
from squire_pipelines.execution.workspace import folder_of
from squire_pipelines.file_store.layout import PUSHING
from squire_pipelines.files import write_atomically
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.pulls import PullRequestRef, add_labels, find_pull_request
from squire_pipelines.ledger import attempts, collections, outcomes, plans, tasks
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts
from squire_pipelines.ledger.model_calls import TokenUsage, usage_of_attempt
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.planning.quoting import for_people
from squire_pipelines.publishing.api_commit import ApiCommits
from squire_pipelines.publishing.author import CommitAuthor, commit_author
from squire_pipelines.publishing.mirror import Mirror, mirror_path
from squire_pipelines.publishing.publication_steps import PublicationStep
from squire_pipelines.publishing.publish_change import (
    Published,
    Rejected,
    policy_from,
    publish_change,
    style_from,
)
from squire_pipelines.publishing.pull_requests import PullRequests
from squire_pipelines.publishing.request import Cost, PublishRequest, SignalLink
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import all_secrets

_MAX_RULES = 20
_UNFINISHED = "The agent was stopped at its time limit: the work may be unfinished."


def end_if_cancelled(leased: LeasedAttempt) -> bool:
    """Stage the attempt's end where somebody has cancelled the task before its work was pushed; return whether so.

    What an earlier try of this attempt may have pushed is published to its end. Raises LeaseLostError.
    """
    folder = folder_of(leased)
    if (folder.root / PUSHING).exists() or leased.go_on():
        return False
    bundle = folder.keep / BUNDLE_FILE
    kept = f"; the agent's work is kept as {bundle}" if bundle.is_file() else ""
    message = f"it was cancelled before its work was pushed{kept}"
    leased.stage(Ending(cause=Cause.CANCELLED, message=message, evidence=_evidence(leased)))
    return True


async def open_pull_request(leased: LeasedAttempt, client: GitHubClient, token: Secret | None) -> Published | Rejected:
    """Publish what the attempt's agent left as a pull request, and stage the attempt's end.

    The bundle stays in the attempt's folder, and the message about a failure says where.

    Raises:
        BundleError, GitHubError, GitError, RefusedError: See `publish_change`.
    """
    bundle = folder_of(leased).keep / BUNDLE_FILE
    try:
        return await _publish_change(leased, client, token)
    except SquireError as error:
        if bundle.is_file():
            error.message = f"{error.message}; the agent's work is kept as {bundle}"
            error.context = {**error.context, "kept_bundle": str(bundle)}
        raise


async def _publish_change(leased: LeasedAttempt, client: GitHubClient, token: Secret | None) -> Published | Rejected:
    task, settings = leased.task, leased.settings
    info = await repository_info(client, task.repository)

    decision = ""

    def on_step(step: PublicationStep, detail: str) -> None:
        nonlocal decision
        if step is PublicationStep.JUDGED:
            decision = detail
        # Recorded before the push: whatever happens then, a later attempt knows that this head is ours.
        if step is PublicationStep.PUSHING:
            write_atomically(folder_of(leased).root / PUSHING, b"", mode=0o600)
            mark_pushing(settings, leased.attempt.id, folder_of(leased).root / PUSHING)
            leased.note(AttemptFacts(head_sha=detail))
            record_pushed(leased, detail, decision)

    mirror = Mirror(mirror_path(settings.home, task.repository), task.repository)
    request = _request(leased, info.clone_url, commit_author(settings.github, info.viewer))
    merge = await asyncio.to_thread(merge_of, leased, mirror, request.base_sha)
    result = await publish_change(
        replace(request, merge=merge),
        mirror=mirror,
        pulls=PullRequests(client, present_names={task.repository: info.name}),
        token=token,
        policy=policy_from(settings.policy_for(task.repository)),
        settings=settings.publishing,
        known_secrets=all_secrets(settings.secret_sources, settings.named_secrets),
        api_commits=ApiCommits(client, info.name) if settings.publishing.commits == "api" else None,
        on_step=on_step,
    )
    record = result.verdict.record()
    rules: list[JsonValue] = [*dict.fromkeys(finding.rule for finding in record.findings)]
    leased.note(
        AttemptFacts(verdict=record),
        "policy.judged",
        decision=record.decision,
        rules=rules[:_MAX_RULES],
        findings=len(record.findings),
        head_sha=result.head_sha,
    )
    if isinstance(result, Rejected):
        leased.stage(_rejected(result.verdict, folder_of(leased)))
    else:
        review = ReviewState.NEEDS_APPROVAL if result.verdict.decision is Decision.NEEDS_APPROVAL else ReviewState.NONE
        _record_opened(leased, result.pull_request, result.head_sha, review)
    return result


async def resume_published(leased: LeasedAttempt, client: GitHubClient, present_name: str) -> PullRequestRef | None:
    """Record the pull request that an earlier attempt opened and could not record; return it, None when there is none.

    `present_name` is the repository's at GitHub, where it may have been renamed or transferred.

    Without this, the agent would work on a base that may hold its own merged change, and find nothing to do.
    """
    with leased.ledger.read() as tx:
        earlier = attempts.of_task(tx, leased.task.id)
        branch = _follow_up(tx, leased) or leased.task.branch
    stored = await asyncio.to_thread(pushed_heads, leased)
    heads = {attempt.head_sha for attempt in earlier} - {None} | stored.keys()
    pull = await find_pull_request(client, present_name, branch) if heads else None
    if pull is None or pull.state == "closed" or pull.head_sha not in heads:
        return None
    verdict = next((attempt.verdict for attempt in reversed(earlier) if attempt.head_sha == pull.head_sha), None)
    decision = stored.get(pull.head_sha) if verdict is None else verdict.decision
    needs_approval = decision is Decision.NEEDS_APPROVAL
    if needs_approval and pull.state == "open":
        # The earlier attempt may have died before it added the label.
        await add_labels(client, present_name, pull.number, [leased.settings.publishing.label])
    review = ReviewState.NEEDS_APPROVAL if needs_approval else ReviewState.NONE
    _record_opened(leased, pull, pull.head_sha, review)
    return pull


def _follow_up(tx: Transaction, leased: LeasedAttempt) -> str | None:
    """Return the branch of our own pull request that this task adds to; None when it opens one of its own.

    One that has ended meanwhile is still the one that it was for: another would go into a branch that nobody merges.
    """
    base = leased.task.base_branch
    return base if outcomes.of_own_branch(tx, leased.task.repository, base) is not None else None


def _request(leased: LeasedAttempt, clone_url: str, author: CommitAuthor) -> PublishRequest:
    task, attempt = leased.task, doer_of(leased)
    folder, texts = folder_of(leased), leased.settings.publishing
    in_store = pushed_heads(leased).keys()  # before the transaction, which waits for no store
    with leased.ledger.read() as tx:
        signals = [s for s in collections.active_signals(tx, task.repository) if s.ref in task.spec.signals]
        closes = resolved_issues(tx, task.id, signals) if texts.close_issues else ()
        planner = plans.get(tx, task.plan_id).plan.planner if task.plan_id else "rules"
        heads = (earlier.head_sha for earlier in attempts.of_task(tx, task.id))
        earlier_heads = frozenset(head for head in heads if head) | in_store
        first = next((event for event in tasks.events(tx, task.id) if event.subject == EventSubject.TASK), None)
        requester = requester_of(first.actor) if first is not None else None
        used = usage_of_attempt(tx, attempt.id)
        verification = attempts.get(tx, leased.attempt.id).verification
        follow_up = _follow_up(tx, leased)
    evidence = evidence_of_work(leased)
    unfinished = _UNFINISHED if evidence.facts.get(STOPPED_FOR) == Cause.TIMEOUT else ""
    notes = (web_search_note(leased.settings, attempt.id), leftovers_note(evidence.left_out))
    return PublishRequest(
        attempt_id=attempt.id,
        task_id=task.id,
        trace_id=task.trace_id,
        queued_at=attempt.queued_at,
        repository=task.repository,
        clone_url=clone_url,
        base_ref=task.base_branch,
        base_sha=attempt.base_sha or "",
        branch=task.branch,
        bundle=folder.keep / BUNDLE_FILE,
        scratch=folder.root / "scratch",
        spec=spec_for_agent(leased),
        signals=tuple(SignalLink(title=signal.title, url=signal.url) for signal in signals),
        planner=planner,
        requester=requester,
        agent=attempt.agent or "command",
        earlier_heads=earlier_heads,
        follow_up=follow_up,
        bundle_branch=bundle_branch_of(leased),
        diff=folder.keep / DIFF_FILE,
        unfinished=unfinished,
        trusted=first is None or requester is not None or first.after != TaskStatus.PROPOSED,
        verification=verification,
        cost=_cost(attempt, used),
        bot_name=author.name,
        bot_email=author.email,
        style=style_from(texts),
        words=last_words(folder.keep),
        order=for_people(task.spec.prompt) if texts.show_order else "",
        closes=closes,
        notes=(*([unfinished] if unfinished else []), *read_notes(folder), *filter(None, notes)),
    )


def _cost(attempt: Attempt, used: TokenUsage) -> Cost:
    began, ended = attempt.agent_started_at, attempt.agent_ended_at
    return Cost(
        usd=used.cost_usd,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        seconds=(ended - began).total_seconds() if began and ended else None,
    )


def _record_opened(leased: LeasedAttempt, pull: PullRequestRef, head_sha: str, review: ReviewState) -> None:
    message = f"pull request #{pull.number}" + (
        ", which waits for a person's approval" if review is ReviewState.NEEDS_APPROVAL else ""
    )
    evidence = _evidence(leased)
    if evidence_of_work(leased).facts.get(STOPPED_FOR) == Cause.TIMEOUT:
        message += "; the agent was stopped at its time limit, so that it may be unfinished"
    ending = Ending(cause=Cause.COMPLETED, message=message, evidence=evidence)
    with leased.ledger.write() as tx:
        attempts.note(tx, leased.attempt.id, leased.token, AttemptFacts(pr_number=pull.number, pr_url=pull.url))
        # Also where it was merged in the moment between the push and this: a pull request has one outcome.
        owner = outcomes.of_own_branch(tx, leased.task.repository, leased.task.base_branch)
        if owner is not None and owner.pr_number == pull.number:
            # The pull request is the outcome of the task that opened it; this one added to it.
            outcomes.renew_head(tx, task_id=owner.task_id, head_sha=head_sha, review=review)
        else:
            outcomes.record_opened(
                tx,
                task_id=leased.task.id,
                repository=leased.task.repository,
                pr_number=pull.number,
                pr_url=pull.url,
                head_sha=head_sha,
                review=review,
            )
        attempts.stage_ending(tx, leased.attempt.id, leased.token, ending)


def _evidence(leased: LeasedAttempt) -> Evidence:
    """Return the evidence that the agent's run left in the attempt's row."""
    with leased.ledger.read() as tx:
        return attempts.get(tx, leased.attempt.id).evidence or Evidence()


def _rejected(verdict: Verdict, folder: AttemptFolder) -> Ending:
    first = verdict.findings[0]
    where = f" ({first.path}:{first.line})" if first.path and first.line else f" ({first.path})" if first.path else ""
    more = f", and {len(verdict.findings) - 1} more findings" if len(verdict.findings) > 1 else ""
    bundle = folder.keep / BUNDLE_FILE
    message = (
        f"the change was refused by {first.rule}{where}: {first.message}{more}; the agent's work is kept as {bundle}"
    )
    evidence = Evidence(error_code=f"policy_{first.rule}", facts={"kept_bundle": str(bundle)})
    return Ending(cause=Cause.POLICY_REJECTED, message=message, evidence=evidence)
