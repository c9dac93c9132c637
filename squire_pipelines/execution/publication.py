"""The publishing station: from an attempt's row and folder to a pull request, and the answer back to the ledger."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from squire_pipelines.agents.model import AttemptFolder
from squire_pipelines.agents.workspace import BUNDLE_FILE, read_notes
from squire_pipelines.domain.change import Decision, Verdict
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.outcomes import ReviewState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.workspace import evidence
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.pulls import PullRequestRef, add_labels, find_pull_request
from squire_pipelines.ledger import attempts, collections, outcomes, plans, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.publishing.mirror import Mirror, mirror_path
from squire_pipelines.publishing.publish_change import (
    PublicationStep,
    Published,
    Rejected,
    policy_from,
    publish_change,
)
from squire_pipelines.publishing.pull_requests import GitHubPullRequests
from squire_pipelines.publishing.request import Cost, PublishRequest, ReportedCheck, SignalLink, VerificationReport
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import all_secrets


async def publish(held: LeasedAttempt, client: GitHubClient, token: Secret | None) -> Published | Rejected:
    """Publish what the attempt left and stage its end.

    The bundle stays in the attempt's folder, and a message about a failure says where.

    Raises:
        BundleError, GitHubError, GitError, RefusedError: See `publish_change`.
    """
    kept = AttemptFolder(held.settings.home.attempts / held.attempt.id).keep / BUNDLE_FILE
    try:
        return await _publish(held, client, token)
    except SquireError as error:
        if kept.is_file():
            error.message = f"{error.message}; the agent's work is kept as {kept}"
            error.context = {**error.context, "kept_bundle": str(kept)}
        raise


async def _publish(held: LeasedAttempt, client: GitHubClient, token: Secret | None) -> Published | Rejected:
    task, settings = held.task, held.settings
    info = await repository_info(client, task.repository)

    def on_step(step: PublicationStep, detail: str) -> None:
        # Recorded before the push: whatever happens then, a later attempt knows that this head is ours.
        if step is PublicationStep.PUSHING:
            held.note(head_sha=detail)

    done = await publish_change(
        _request(held, info.clone_url),
        mirror=Mirror(mirror_path(settings.home, task.repository), task.repository),
        pulls=GitHubPullRequests(client),
        token=token,
        policy=policy_from(settings.policy_for(task.repository)),
        settings=settings.publishing,
        known_secrets=all_secrets(settings.home),
        on_step=on_step,
    )
    held.note(verdict=verdict_json(done.verdict))
    if isinstance(done, Rejected):
        held.stage(_rejected(done.verdict, AttemptFolder(settings.home.attempts / held.attempt.id)))
    else:
        review = ReviewState.NEEDS_APPROVAL if done.verdict.decision is Decision.NEEDS_APPROVAL else ReviewState.NONE
        _record_opened(held, done.pull_request, done.head_sha, review)
    return done


async def take_over(held: LeasedAttempt, client: GitHubClient) -> PullRequestRef | None:
    """The pull request that an earlier try opened and had no time to record, now recorded as this attempt's end.

    Without it, the agent would work on a base that may hold its own merged change, and find nothing to do.
    """
    with held.ledger.read() as tx:
        earlier = attempts.of_task(tx, held.task.id)
        branch = _follow_up(tx, held) or held.task.branch
    heads = {each.head_sha for each in earlier} - {None}
    pull = await find_pull_request(client, held.task.repository, branch) if heads else None
    if pull is None or pull.state == "closed" or pull.head_sha not in heads:
        return None
    verdict = next((each.verdict for each in reversed(earlier) if each.head_sha == pull.head_sha), None)
    held_back = (verdict or {}).get("decision") == Decision.NEEDS_APPROVAL.name.lower()
    if held_back and pull.state == "open":
        # The earlier try may have died before it put the label on.
        await add_labels(client, held.task.repository, pull.number, [held.settings.publishing.label])
    review = ReviewState.NEEDS_APPROVAL if held_back else ReviewState.NONE
    _record_opened(held, pull, pull.head_sha, review)
    return pull


def _follow_up(tx: Transaction, held: LeasedAttempt) -> str | None:
    """The branch of our own open pull request that this task builds on; None when it opens one of its own."""
    base = held.task.base_branch
    return base if outcomes.of_branch(tx, held.task.repository, base) is not None else None


def _request(held: LeasedAttempt, clone_url: str) -> PublishRequest:
    task, attempt = held.task, held.attempt
    folder = AttemptFolder(held.settings.home.attempts / attempt.id)
    with held.ledger.read() as tx:
        links = tuple(
            SignalLink(title=signal.title, url=signal.url)
            for signal in collections.active_signals(tx, task.repository)
            if signal.ref in task.spec.signals
        )
        planner = plans.get(tx, task.plan_id).plan.planner if task.plan_id else "rules"
        earlier = frozenset(each.head_sha for each in attempts.of_task(tx, task.id) if each.head_sha)
        first = next((event for event in tasks.events(tx, task.id) if event.subject == "task"), None)
        attempt = attempts.get(tx, attempt.id)
        used = attempts.tokens_used(tx, attempt.id)
        follow_up = _follow_up(tx, held)
    return PublishRequest(
        attempt_id=attempt.id,
        task_id=task.id,
        trace_id=task.trace_id,
        repository=task.repository,
        clone_url=clone_url,
        base_ref=task.base_branch,
        base_sha=attempt.base_sha or "",
        branch=task.branch,
        bundle=folder.keep / BUNDLE_FILE,
        scratch=folder.root / "scratch",
        spec=task.spec,
        signals=links,
        planner=planner,
        agent=attempt.agent or "command",
        earlier_heads=earlier,
        follow_up=follow_up,
        trusted=first is None or first.after != TaskStatus.PROPOSED,
        verification=verification_report(attempt.verification),
        cost=_cost(attempt, used),
        bot_email=held.settings.github.bot_email,
        notes=read_notes(folder),
    )


def _cost(attempt: Attempt, used: Mapping[str, Any]) -> Cost:
    began, ended = attempt.agent_started_at, attempt.agent_ended_at
    return Cost(
        usd=used.get("cost_usd"),
        input_tokens=used.get("input_tokens"),
        output_tokens=used.get("output_tokens"),
        seconds=(ended - began).total_seconds() if began and ended else None,
    )


def verification_report(stored: Mapping[str, Any] | None) -> VerificationReport | None:
    """What the attempt's row says of its verification: `{"passed", "message", "checks": [{"name", "passed", …}]}`."""
    if not stored:
        return None
    checks = tuple(
        ReportedCheck(str(each.get("name", "?")), bool(each.get("passed")), str(each.get("detail") or ""))
        for each in stored.get("checks") or ()
        if isinstance(each, Mapping)
    )
    return VerificationReport(bool(stored.get("passed")), checks, str(stored.get("message") or ""))


def _record_opened(held: LeasedAttempt, pull: PullRequestRef, head_sha: str, review: ReviewState) -> None:
    message = f"pull request #{pull.number}" + (
        ", which waits for a person's approval" if review is ReviewState.NEEDS_APPROVAL else ""
    )
    ending = Ending(cause=Cause.COMPLETED, message=message, evidence=evidence(held))
    with held.ledger.write() as tx:
        attempts.note(tx, held.attempt.id, held.token, pr_number=pull.number, pr_url=pull.url)
        owner = outcomes.of_branch(tx, held.task.repository, held.task.base_branch)
        if owner is not None and owner.pr_number == pull.number:
            # The pull request is the outcome of the task that opened it; this one added to it.
            outcomes.renew_head(tx, task_id=owner.task_id, head_sha=head_sha, review=review)
        else:
            outcomes.record_opened(
                tx,
                task_id=held.task.id,
                repository=held.task.repository,
                pr_number=pull.number,
                pr_url=pull.url,
                head_sha=head_sha,
                review=review,
            )
        attempts.stage_ending(tx, held.attempt.id, held.token, ending)


def verdict_json(verdict: Verdict) -> dict[str, JsonValue]:
    """The verdict as the attempt's row keeps it."""
    findings: list[JsonValue] = [
        {"rule": found.rule, "path": found.path, "line": found.line, "message": found.message}
        for found in verdict.findings
    ]
    return {"decision": verdict.decision.name.lower(), "findings": findings}


def _rejected(verdict: Verdict, folder: AttemptFolder) -> Ending:
    first = verdict.findings[0]
    where = f" ({first.path}:{first.line})" if first.path and first.line else f" ({first.path})" if first.path else ""
    more = f", and {len(verdict.findings) - 1} more findings" if len(verdict.findings) > 1 else ""
    kept = folder.keep / BUNDLE_FILE
    said = f"{first.rule}{where}: {first.message}{more}"
    message = f"the change was refused by {said}; the agent's work is kept as {kept}"
    evidence = Evidence(error_code=f"policy_{first.rule}", facts={"kept_bundle": str(kept)})
    return Ending(cause=Cause.POLICY_REJECTED, message=message, evidence=evidence)
