"""The publishing station: from an attempt's row and folder to a pull request, and the answer back to the ledger."""

from pydantic import JsonValue

from squire_pipelines.agents.model import AttemptFolder
from squire_pipelines.agents.workspace import BUNDLE_FILE
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.policy import Verdict
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.pulls import PullRequestRef, find_pull_request
from squire_pipelines.jobs.holding import Held
from squire_pipelines.jobs.stations import evidence
from squire_pipelines.ledger import attempts, collections, outcomes, plans
from squire_pipelines.publishing.body import SignalLink
from squire_pipelines.publishing.mirror import Mirror, mirror_path
from squire_pipelines.publishing.publish import (
    Published,
    PublishRequest,
    Rejected,
    Step,
    policy_from,
    publish_attempt,
)
from squire_pipelines.publishing.pull_requests import GitHubPullRequests
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import find_secret


async def publish(held: Held, client: GitHubClient, token: Secret | None) -> Published | Rejected:
    """Publish what the attempt left and stage its end. Raises BundleError, GitHubError, GitError, RefusedError."""
    task, settings = held.task, held.settings
    info = await repository_info(client, task.repository)
    model_key = find_secret("model-key", settings.home)

    def on_step(step: Step, detail: str) -> None:
        # Recorded before the push: whatever happens then, a later attempt knows that this head is ours.
        if step is Step.PUSHING:
            held.note(head_sha=detail)

    done = await publish_attempt(
        _request(held, info.clone_url),
        mirror=Mirror(mirror_path(settings.home, task.repository), task.repository),
        pulls=GitHubPullRequests(client),
        token=token,
        policy=policy_from(settings.policy_for(task.repository)),
        known_secrets=[model_key] if model_key else [],
        on_step=on_step,
    )
    held.note(verdict=verdict_json(done.verdict))
    if isinstance(done, Rejected):
        held.stage(_rejected(done.verdict))
    else:
        _record_opened(held, done.pull_request, done.head_sha)
    return done


async def take_over(held: Held, client: GitHubClient) -> PullRequestRef | None:
    """The pull request that an earlier try opened and had no time to record, now recorded as this attempt's end.

    Without it, the agent would work on a base that may hold its own merged change, and find nothing to do.
    """
    with held.ledger.read() as tx:
        heads = {each.head_sha for each in attempts.of_task(tx, held.task.id)} - {None}
    pull = await find_pull_request(client, held.task.repository, held.task.branch) if heads else None
    if pull is None or pull.state == "closed" or pull.head_sha not in heads:
        return None
    _record_opened(held, pull, pull.head_sha)
    return pull


def _request(held: Held, clone_url: str) -> PublishRequest:
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
    )


def _record_opened(held: Held, pull: PullRequestRef, head_sha: str) -> None:
    ending = Ending(cause=Cause.COMPLETED, message=f"pull request #{pull.number}", evidence=evidence(held))
    with held.ledger.write() as tx:
        attempts.note(tx, held.attempt.id, held.token, pr_number=pull.number, pr_url=pull.url)
        outcomes.record_opened(
            tx,
            task_id=held.task.id,
            repository=held.task.repository,
            pr_number=pull.number,
            pr_url=pull.url,
            head_sha=head_sha,
        )
        attempts.stage_ending(tx, held.attempt.id, held.token, ending)


def verdict_json(verdict: Verdict) -> dict[str, JsonValue]:
    """The verdict as the attempt's row keeps it."""
    findings: list[JsonValue] = [
        {"rule": found.rule, "path": found.path, "line": found.line, "message": found.message}
        for found in verdict.findings
    ]
    return {"decision": verdict.decision.name.lower(), "findings": findings}


def _rejected(verdict: Verdict) -> Ending:
    first = verdict.findings[0]
    where = f" ({first.path}:{first.line})" if first.path and first.line else f" ({first.path})" if first.path else ""
    more = f", and {len(verdict.findings) - 1} more findings" if len(verdict.findings) > 1 else ""
    message = f"the change was refused by {first.rule}{where}: {first.message}{more}"
    return Ending(cause=Cause.POLICY_REJECTED, message=message)
