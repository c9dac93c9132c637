"""The job `agent_run`: one attempt at one task, from the claim to its recorded end.

The ops hand on nothing but their order; what they share is the attempt's row and folder, so that each may run in a
process or container of its own. They do not fail by themselves: `settle` records the end and decides on the colour.
"""

import asyncio
import sys
import time
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import JsonValue

from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import choose_runner
from squire_pipelines.assets.plans import PULL_REQUESTS
from squire_pipelines.assets.tables import block
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.execution import gateway_session, publication, verification, workspace
from squire_pipelines.execution.lease import LeasedAttempt, retry_rule
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.pulls import PullRequestRef
from squire_pipelines.jobs.leased import attempt_id_of, leased_attempt
from squire_pipelines.ledger import adoption, attempts
from squire_pipelines.ledger.attempts import Attempt, Settled
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.publishing.publish_change import Rejected
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.secrets import Secret
from squire_pipelines.settings import Settings


@dg.op(out=dg.Out(dg.Nothing), description="Claim the attempt and hand the workspace in.", tags={"kind": "git"})
def prepare(
    context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> None:
    """Write the attempt's folder (bundle, task, prompt) from a fresh mirror, or take over what is published already."""
    chosen = settings.load()
    _refuse_before_claim(context, ledger.open(), chosen)
    with leased_attempt(context, ledger.open(), chosen, claim=True) as held:
        if held is None:
            return
        if workspace.is_prepared(held):
            context.log.info("an earlier holder of this attempt has handed the workspace in: taken over")
            return
        clone_url, token, published = asyncio.run(_look(github, held))
        if published is not None:
            context.log.info(f"an earlier try has opened pull request #{published.number}: taken over")
            return
        began = time.monotonic()
        inputs = workspace.prepare_workspace(held, clone_url, token, run_id=context.run.run_id)
        held.note(
            timings={"mirror_s": round(time.monotonic() - began, 3)},
            limits=inputs.limits.model_dump(),
            base_sha=inputs.base_sha,
            agent=workspace.agent_name(chosen, held.task.repository),
        )
        context.log.info(f"workspace of {held.attempt.id}: {held.task.base_branch} at {inputs.base_sha[:12]}")


def _refuse_before_claim(context: dg.OpExecutionContext, books: Ledger, chosen: Settings) -> None:
    """End an attempt that cannot start as the settings and its task want it, before anything is claimed for it."""
    attempt_id = attempt_id_of(context)
    ending = workspace.refusal(books, chosen, attempt_id)
    if ending is None:
        return
    context.log.error(f"attempt {attempt_id} is refused: {ending.message}")
    with books.write() as tx:
        repository = attempts.get(tx, attempt_id).repository
        rule = retry_rule(chosen, repository)
        adoption.refuse(tx, attempt_id, ending, retry=rule, actor=f"run:{context.run.run_id}")


async def _look(github: GitHubResource, held: LeasedAttempt) -> tuple[str, Secret | None, PullRequestRef | None]:
    """Where to clone from and with which token, and the pull request that is there already."""
    async with github.client() as client:
        info = await repository_info(client, held.task.repository)
        published = await publication.take_over(held, client)
    return info.clone_url, await github.git_token(held.task.repository), published


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
    with leased_attempt(context, ledger.open(), chosen) as held:
        if held is None or held.attempt.status is AttemptStatus.PUBLISHING:
            return
        inputs = workspace.read_inputs(held, run_id=context.run.run_id)
        runner = choose_runner(
            chosen.agent_for(held.task.repository),
            redact=github.redactor().redact,
            echo=_echo,
            warm=chosen.home.warm,
        )
        try:
            held.note(
                runner="docker" if runner.is_sandbox else "local",
                sandboxed=runner.is_sandbox,
                limits=inputs.limits.model_dump(),
            )
            if not runner.is_sandbox:
                context.log.warning("the agent runs as a local process, which is no sandbox")
            with gateway_session.gateway_for(held, chosen, runner) as door:
                result = runner.run(
                    inputs,
                    heartbeat=lambda: held.go_on() and not (door is not None and door.is_overdue),
                    gateway_socket=door.socket if door else None,
                )
            if door is not None:
                result = replace(result, ending=door.judged(result.ending))
        finally:
            runner.close()
        workspace.record_run(held, result)
        context.log.info(f"agent ended: {result.ending.cause}: {result.ending.message}")
        context.add_output_metadata(_run_metadata(held, inputs, result))


def _echo(text: str) -> None:
    """What the agent writes, into the step's own output: Dagster keeps that as its compute log."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _json(value: JsonValue) -> dg.JsonMetadataValue:
    return dg.MetadataValue.json(value if isinstance(value, dict | list) else {"value": value})


def _run_metadata(held: LeasedAttempt, inputs: AttemptInputs, result: RunResult) -> dict[str, Any]:
    with held.ledger.read() as tx:
        parts = attempts.get(tx, held.attempt.id).timings or {}
    timings = {f"seconds_{name.removesuffix('_s')}": value for name, value in parts.items()}
    return {
        "cause": result.ending.cause.value,
        "message": result.ending.message,
        "limits": dg.MetadataValue.json(inputs.limits.model_dump()),
        "image": result.image_digest or "none",
        "log": dg.MetadataValue.path(inputs.folder.log),
        "session": _json(result.ending.evidence.facts.get("session") or {}),
        **timings,
    }


@dg.op(
    ins={"ran": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Run the repository's checks on the committed tree, in a fresh container without network.",
    tags={"kind": "docker"},
)
def verify(
    context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> None:
    """What the checks show goes into the pull request and decides whether it is a draft; it ends no attempt."""
    chosen = settings.load()
    with leased_attempt(context, ledger.open(), chosen) as held:
        if held is None or held.attempt.verification is not None or not verification.checks_of(held)[0]:
            return
        inputs = workspace.read_inputs(held, run_id=context.run.run_id)
        runner = choose_runner(chosen.agent_for(held.task.repository), redact=github.redactor().redact, echo=_echo)
        try:
            found = verification.verify(held, inputs, runner)
        finally:
            runner.close()
        if found is not None:
            context.log.info(f"verification {'passed' if found['passed'] else 'did not pass'}: {found['message']}")
            context.add_output_metadata({"passed": found["passed"], "checks": _json(found["checks"])})


@dg.op(
    ins={"verified": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Verify the bundle, judge the change, push the branch and open the pull request.",
    tags={"kind": "github"},
)
async def publish(
    context: dg.OpExecutionContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> None:
    """Publishing again what was published finds the same branch and the same pull request."""
    chosen = settings.load()
    with leased_attempt(context, ledger.open(), chosen) as held:
        if held is None:
            return
        async with github.client() as client:
            done = await publication.publish(held, client, await github.git_token(held.task.repository))
        verdict = publication.verdict_json(done.verdict)
        context.add_output_metadata({"verdict": verdict["decision"], "findings": dg.MetadataValue.json(verdict)})
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
                    "verdict": verdict["decision"],
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
    attempt_id = attempt_id_of(context)
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
        metadata["last_lines"] = block(ending.evidence.log_tail)
    if not ending.cause.is_success:
        raise dg.Failure(f"{ending.cause}: {ending.message}", metadata=metadata, allow_retries=False)
    context.log.info(f"{ending.cause}: {ending.message}; the task has {settled.task_status}")
    context.add_output_metadata(metadata)


def _settle(books: Ledger, chosen: Settings, attempt_id: str, run_id: str) -> tuple[Attempt, Ending, Settled]:
    with books.write() as tx:
        attempt = attempts.get(tx, attempt_id)
        rule = retry_rule(chosen, attempt.repository)
        if attempt.run_id != run_id or attempt.lease_token is None:
            raise StateConflictError(
                f"attempt {attempt_id} is not this run's (any more): {attempt.cause or attempt.status}",
                hint="see the task's history: `squire tasks show`",
            )
        ending = attempt.ending or Ending(cause=Cause.INTERNAL_ERROR, message="no step said how the attempt ended")
        settled = attempts.settle(tx, attempt_id, attempt.lease_token, ending, retry=rule, actor=f"run:{run_id}")
    return attempt, ending, settled


def agent_run_job(executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    """The job on the executor that the settings choose."""

    @dg.job(
        name="agent_run",
        description="One attempt at one task: prepare, run the agent, publish, settle.",
        executor_def=executor,
        # For a step whose process or container was killed; what our code meets with is no failure of an op.
        op_retry_policy=dg.RetryPolicy(max_retries=2, delay=2),
        tags={"squire/part": "agent_run"},
    )
    def agent_run() -> None:
        settle(publish(verify(run_agent(prepare()))))

    return agent_run
