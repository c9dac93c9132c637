"""The job `agent_run`: one attempt at one task, from the claim to its recorded end.

The ops hand on nothing but their order; what they share is the attempt's row and folder, so that each may run in a
process or container of its own. They do not fail by themselves: `settle` records the end and decides on the colour.
"""

import asyncio
from typing import Any

import dagster as dg

from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import choose_runner
from squire_pipelines.assets.plans import PULL_REQUESTS
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.pulls import PullRequestRef
from squire_pipelines.jobs import publishing, stations
from squire_pipelines.jobs.holding import Held, attempt_of, holding
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.attempts import Attempt, RetryRule, Settled
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.publishing.publish import Rejected
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.settings import Settings


@dg.op(out=dg.Out(dg.Nothing), description="Claim the attempt and hand the workspace in.", tags={"kind": "git"})
def prepare(
    context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> None:
    """Write the attempt's folder (bundle, task, prompt) from a fresh mirror, or take over what is published already."""
    chosen = settings.load()
    with holding(context, ledger.open(), chosen, claim=True) as held:
        if held is None:
            return
        clone_url, published = asyncio.run(_look(github, held))
        if published is not None:
            context.log.info(f"an earlier try has opened pull request #{published.number}: taken over")
            return
        inputs = stations.hand_in(held, clone_url, github.secret(), run_id=context.run.run_id)
        held.note(base_sha=inputs.base_sha, agent=stations.agent_name(chosen, held.task.repository))
        context.log.info(f"workspace of {held.attempt.id}: {held.task.base_branch} at {inputs.base_sha[:12]}")


async def _look(github: GitHubResource, held: Held) -> tuple[str, PullRequestRef | None]:
    """Where to clone from, and the pull request that is there already."""
    async with github.client() as client:
        info = await repository_info(client, held.task.repository)
        return info.clone_url, await publishing.take_over(held, client)


@dg.op(
    ins={"prepared": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Run the agent in its container and take its bundle over.",
    tags={"kind": "docker"},
)
def run_agent(
    context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> None:
    """The agent has nothing of this process: no network, no token, only its folder and the gateway's socket."""
    chosen = settings.load()
    with holding(context, ledger.open(), chosen) as held:
        if held is None:
            return
        inputs = stations.read_inputs(held, run_id=context.run.run_id)
        runner = choose_runner(chosen.agent_for(held.task.repository), redact=github.redactor().redact)
        try:
            held.note(
                runner="docker" if runner.is_sandbox else "local",
                sandboxed=runner.is_sandbox,
                limits=inputs.limits.model_dump(),
            )
            if not runner.is_sandbox:
                context.log.warning("the agent runs as a local process, which is no sandbox")
            with stations.gateway_for(held, chosen) as gateway:
                result = runner.run(
                    inputs,
                    heartbeat=lambda: not held.heartbeat.must_stop,
                    gateway_socket=gateway.socket_path if gateway else None,
                )
        finally:
            runner.close()
        stations.record_run(held, result)
        context.log.info(f"agent ended: {result.ending.cause}: {result.ending.message}")
        context.add_output_metadata(_run_metadata(inputs, result))


def _run_metadata(inputs: AttemptInputs, result: RunResult) -> dict[str, Any]:
    timings = {f"seconds_{name.removesuffix('_s')}": value for name, value in result.timings.items()}
    return {
        "cause": result.ending.cause.value,
        "message": result.ending.message,
        "limits": dg.MetadataValue.json(inputs.limits.model_dump()),
        "image": result.image_digest or "none",
        "log": dg.MetadataValue.path(inputs.folder.log),
        **timings,
    }


@dg.op(
    ins={"ran": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Verify the bundle, judge the change, push the branch and open the pull request.",
    tags={"kind": "github"},
)
async def publish(
    context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> None:
    """Publishing again what was published finds the same branch and the same pull request."""
    chosen = settings.load()
    with holding(context, ledger.open(), chosen) as held:
        if held is None:
            return
        async with github.client() as client:
            done = await publishing.publish(held, client, github.secret())
        if isinstance(done, Rejected):
            context.log.warning(f"the policy refused the change: {done.verdict.findings}")
            return
        context.log_event(
            dg.AssetMaterialization(
                PULL_REQUESTS,
                partition=held.task.repository,
                description=held.task.title,
                metadata={
                    "pull_request": dg.MetadataValue.url(done.pull_request.url),
                    "task": held.task.id,
                    "attempt": held.attempt.id,
                    "trace_id": held.task.trace_id,
                    "created": done.created,
                    "verdict": publishing.verdict_json(done.verdict)["decision"],
                },
            )
        )


@dg.op(
    ins={"published": dg.In(dg.Nothing)},
    description="Record how the attempt ended and what follows for its task; red when it did not succeed.",
    tags={"kind": "sql"},
)
def settle(context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource) -> None:
    """Runs whatever the others met with, as long as the attempt is this run's, and fails the run where it failed."""
    chosen = settings.load()
    attempt_id = attempt_of(context)
    try:
        attempt, ending, settled = _settle(ledger.open(), chosen, attempt_id, context.run.run_id)
    except (LeaseLostError, StateConflictError) as error:
        raise dg.Failure(f"{error}", metadata={"attempt": attempt_id}, allow_retries=False) from error
    metadata: dict[str, Any] = {
        "attempt": attempt_id,
        "cause": ending.cause.value,
        "message": ending.message,
        "task_status": settled.task_status.value,
        "trace_id": attempt.trace_id,
        "log": dg.MetadataValue.md(f"`squire tasks logs {attempt.task_id}`"),
    }
    if attempt.pr_url:
        metadata["pull_request"] = dg.MetadataValue.url(attempt.pr_url)
    if attempt.agent_started_at:
        metadata["seconds_to_agent_start"] = (attempt.agent_started_at - attempt.queued_at).total_seconds()
    if ending.evidence.log_tail:
        metadata["last_lines"] = dg.MetadataValue.md("```\n" + "\n".join(ending.evidence.log_tail) + "\n```")
    if not ending.cause.is_success:
        raise dg.Failure(f"{ending.cause}: {ending.message}", metadata=metadata, allow_retries=False)
    context.log.info(f"{ending.cause}: {ending.message}; the task has {settled.task_status}")
    context.add_output_metadata(metadata)


def _settle(books: Ledger, chosen: Settings, attempt_id: str, run_id: str) -> tuple[Attempt, Ending, Settled]:
    rule = RetryRule(chosen.dispatch.retry_base_s, chosen.dispatch.retry_cap_s)
    with books.write() as tx:
        attempt = attempts.get(tx, attempt_id)
        if attempt.run_id != run_id or attempt.lease_token is None:
            message = f"attempt {attempt_id} is not this run's (any more): {attempt.cause or attempt.status}"
            raise StateConflictError(message, hint="see the task's history: `squire tasks show`")
        ending = attempt.ending or Ending(cause=Cause.INTERNAL_ERROR, message="no step said how the attempt ended")
        settled = attempts.settle(tx, attempt_id, attempt.lease_token, ending, retry=rule, actor=f"run:{run_id}")
    return attempt, ending, settled


def agent_run_job(executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job on the executor that the settings choose."""

    @dg.job(
        name="agent_run",
        description="One attempt at one task: prepare, run the agent, publish, settle.",
        executor_def=executor,
        tags={"squire/part": "agent_run"},
    )
    def agent_run() -> None:
        settle(publish(run_agent(prepare())))

    return agent_run
