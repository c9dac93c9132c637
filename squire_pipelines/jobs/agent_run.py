"""The job `agent_run`: one attempt at one task, from the claim to its recorded end.

The ops hand on nothing but their order. What they share is the attempt's row and folder, so that each may run in a
process or container of its own. They do not fail by themselves: `settle` records the end and decides on the colour.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import dagster as dg

from squire_pipelines.assets.page_urls import task_links
from squire_pipelines.assets.plans import PULL_REQUESTS
from squire_pipelines.assets.tables import block, preview
from squire_pipelines.domain.container_limits import AppliedLimits
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.log_lines import ECHO
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.domain.timings import Timings
from squire_pipelines.errors import GitError, LeaseLostError, StateConflictError
from squire_pipelines.jobs.leased import attempt_id_of, launch_timings, leased_attempt, report_adopted_run
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.resources.parameters import GitHubParam, LedgerParam, SettingsParam
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_line
from squire_pipelines.traces import run_trace

if TYPE_CHECKING:
    from squire_pipelines.agents.model import AttemptInputs, RunResult
    from squire_pipelines.agents.runners import AgentRunner
    from squire_pipelines.execution.ending import SettledAttempt
    from squire_pipelines.execution.lease import LeasedAttempt
    from squire_pipelines.github.connection import GitHub
    from squire_pipelines.github.lookup import RepositoryInfo
    from squire_pipelines.github.pulls import PullRequestRef
    from squire_pipelines.publishing.publish_change import Published
    from squire_pipelines.secrets import Secret


@dg.op(out=dg.Out(dg.Nothing), description="Claim the attempt and write its workspace.", tags={"kind": "git"})
def prepare(
    context: dg.OpExecutionContext,
    settings: SettingsParam,
    ledger: LedgerParam,
    github: GitHubParam,
) -> None:
    """Write the attempt's folder (bundle, task, prompt) from a fresh mirror, or resume what is published already."""
    from squire_pipelines.execution import ending, workspace
    from squire_pipelines.execution.conflicts import bring_start, why_over
    from squire_pipelines.execution.free_branch import with_free_branch
    from squire_pipelines.execution.kept_work import take_kept_work
    from squire_pipelines.execution.present_base import follow_base, with_named_base
    from squire_pipelines.execution.pushed_heads import set_aside_earlier
    from squire_pipelines.ledger.attempts import AttemptFacts
    from squire_pipelines.publishing.mirror import fetch_mirror

    attempt_id, run_id = attempt_id_of(context), context.run.run_id
    with run_trace(context):
        refused = ending.refuse_unstartable(ledger, settings, attempt_id, run_id=run_id)
    if refused is not None:
        context.log.error(f"attempt {attempt_id} is refused: {refused.message}")
    with leased_attempt(context, ledger, settings, claim=True) as leased:
        if leased is None:
            return
        report_adopted_run(context)
        if _is_prepared(leased):
            context.log.info("an earlier run of this attempt has prepared the workspace")
            return
        info, token, published = asyncio.run(_find_existing(github, leased))
        if published is not None:
            context.log.info(f"an earlier attempt has opened pull request #{published.number}, which is resumed")
            return
        started = time.monotonic()
        mirror = fetch_mirror(leased.settings.home, leased.task.repository, info.clone_url, token)
        if leased.attempt.status is AttemptStatus.PUBLISHING:
            context.log.info("another machine has done the work, which is published from here")
            bring_start(mirror, leased.attempt.base_sha or "", workspace.folder_of(leased).keep)
            return
        set_aside_earlier(leased)
        branched = with_free_branch(leased, mirror)
        kept = take_kept_work(branched, mirror, branch=leased.task.branch)
        if kept is not None:
            context.log.info(f"the work of attempt {kept.id} is published, without a second run of the agent")
            return
        if (over := why_over(branched, mirror)) is not None:
            context.log.info(f"no agent has to run: {over}")
            leased.stage(Ending(cause=Cause.NO_CHANGES, message=over))
            return
        based = with_named_base(branched, info.default_branch)
        try:
            inputs = workspace.prepare_workspace(based, mirror, run_id=run_id)
        except GitError as error:
            if error.context.get("ref") != based.task.base_branch:
                raise
            moved = asyncio.run(follow_base(github, based, error))
            context.log.warning(f"{based.task.base_branch} is gone: {moved.task.base_branch} takes its place")
            inputs = workspace.prepare_workspace(moved, mirror, run_id=run_id)
        facts = AttemptFacts(
            timings=launch_timings(context, leased.attempt).with_parts(
                {"mirror_s": round(time.monotonic() - started, 3)}
            ),
            limits=AppliedLimits.model_validate(inputs.limits.model_dump()),
            base_sha=inputs.base_sha,
            agent=workspace.agent_title(leased.agent),
        )
        leased.note(facts)
        context.log.info(f"workspace of {attempt_id}: {inputs.base_ref} at {inputs.base_sha[:12]}")


def _is_prepared(leased: "LeasedAttempt") -> bool:
    """Return whether all is there that later steps need; work that another machine finished is brought here for them.

    Raises:
        FileStoreError, WorkspaceError: It cannot be brought.
    """
    from squire_pipelines.execution import workspace
    from squire_pipelines.execution.conflicts import has_commit
    from squire_pipelines.execution.kept_work import bring_own_work
    from squire_pipelines.publishing.mirror import Mirror, mirror_path

    if leased.attempt.status is not AttemptStatus.PUBLISHING:
        return workspace.is_prepared(leased)
    bring_own_work(leased)
    path = mirror_path(leased.settings.home, leased.task.repository)
    # A mirror of this machine may be older than what the work of another one builds on.
    return path.exists() and has_commit(Mirror(path, leased.task.repository), leased.attempt.base_sha or "")


async def _find_existing(
    github: "GitHub", leased: "LeasedAttempt"
) -> "tuple[RepositoryInfo, Secret | None, PullRequestRef | None]":
    """Return what the repository is, the token to clone it, and the pull request that is open or merged already."""
    from squire_pipelines.execution import publication
    from squire_pipelines.github.lookup import repository_info

    async with github.client() as client:
        info = await repository_info(client, leased.task.repository)
        published = await publication.resume_published(leased, client, info.name)
    return info, await github.git_token(leased.task.repository), published


@dg.op(
    ins={"prepared": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Run the agent in its container and take over the bundle that it leaves.",
    tags={"kind": "docker"},
)
def run_agent(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """The agent has nothing of this process: no network, no token, only its folder and the gateway's socket."""
    from squire_pipelines.execution import workspace
    from squire_pipelines.execution.agent import run_with_gateway
    from squire_pipelines.ledger.attempts import AttemptFacts

    with leased_attempt(context, ledger, settings) as leased:
        if leased is None or leased.attempt.status is AttemptStatus.PUBLISHING:
            return
        inputs = workspace.read_inputs(leased, run_id=context.run.run_id)
        runner = _runner(settings, leased)
        try:
            facts = AttemptFacts(
                runner=runner.name,
                sandboxed=runner.is_sandbox,
                limits=AppliedLimits.model_validate(inputs.limits.model_dump()),
            )
            agent = workspace.agent_title(leased.agent)
            leased.note(facts, "container.started", purpose="agent", agent=agent, runner=facts.runner)
            if runner.is_sandbox:
                metrics.count(families.CONTAINERS_STARTED, "agent")
            else:
                context.log.warning("the agent runs as a local process, which is no sandbox")
            result = run_with_gateway(leased, inputs, runner)
        finally:
            runner.close()
        workspace.record_run(leased, result)
        context.log.info(f"agent ended: {result.ending.cause}: {result.ending.message}")
        context.add_output_metadata(_run_metadata(leased, inputs, result))


def _runner(settings: Settings, leased: "LeasedAttempt") -> "AgentRunner":
    from squire_pipelines.agents.runners import choose_runner
    from squire_pipelines.execution.agent import cluster_options
    from squire_pipelines.execution.step_executor import agent_beside_step
    from squire_pipelines.observability.debugging import debugged_until
    from squire_pipelines.secrets.lookup import all_secrets
    from squire_pipelines.secrets.redact import Redactor

    return choose_runner(
        agent_beside_step(leased.agent),
        redact=Redactor(all_secrets(leased.settings.secret_sources, leased.settings.named_secrets)).redact,
        echo=_echo,
        warm=settings.home.warm,
        keep_until=debugged_until(settings.home, leased.task.repository),
        cluster=cluster_options(leased),
    )


def _echo(text: str) -> None:
    """Write the agent's output to the step's own, which Dagster keeps as its compute log.

    Each line begins with a mark, so that none can look like one of Squire's in the log of the process.
    """
    lines = text.splitlines(keepends=True)
    write_line("".join(f"{ECHO.decode()}{line}" for line in lines), end="")


def _run_metadata(leased: "LeasedAttempt", inputs: "AttemptInputs", result: "RunResult") -> dict[str, Any]:
    from squire_pipelines.ledger import attempts

    with leased.ledger.read() as tx:
        timings = attempts.get(tx, leased.attempt.id).timings or Timings()
    return {
        "cause": result.ending.cause.value,
        "message": result.ending.message,
        "limits": dg.MetadataValue.json(inputs.limits.model_dump()),
        "image": result.image_digest or "none",
        "log": dg.MetadataValue.path(inputs.folder.log),
        "session": dg.MetadataValue.json(dict(result.ending.evidence.session)),
        **{f"seconds_{name.removesuffix('_s')}": value for name, value in timings.parts().items()},
    }


@dg.op(
    ins={"ran": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Run the repository's checks on the committed tree, in a fresh container without network.",
    tags={"kind": "docker"},
)
def verify(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Run the checks, whose results stand in the pull request and may make it a draft; they end no attempt."""
    from squire_pipelines.execution import verification, workspace
    from squire_pipelines.execution.planned_checks import planned_checks

    with leased_attempt(context, ledger, settings) as leased:
        if leased is None or leased.attempt.verification is not None:
            return
        planned = planned_checks(leased)
        if not planned.commands:
            verification.note_left_out(leased, planned)
            return
        inputs = workspace.read_inputs(leased, run_id=context.run.run_id)
        runner = _runner(settings, leased)
        try:
            report = verification.verify(leased, inputs, runner)
        finally:
            runner.close()
        if report is not None:
            context.log.info(f"verification {'passed' if report.passed else 'did not pass'}: {report.message}")
            checks = ((check.name, check.passed, check.detail) for check in report.checks)
            table = preview(("check", "passed", "detail"), checks)
            context.add_output_metadata({"passed": report.passed, "message": report.message, "checks": table})


@dg.op(
    ins={"verified": dg.In(dg.Nothing)},
    out=dg.Out(dg.Nothing),
    description="Verify the bundle, judge the change, push the branch and open the pull request.",
    tags={"kind": "github"},
)
async def publish(
    context: dg.OpExecutionContext,
    settings: SettingsParam,
    ledger: LedgerParam,
    github: GitHubParam,
) -> None:
    """Publishing again what was published finds the same branch and the same pull request."""
    from squire_pipelines.execution import publication
    from squire_pipelines.publishing.publish_change import Rejected

    with leased_attempt(context, ledger, settings) as leased:
        if leased is None or publication.end_if_cancelled(leased):
            return
        async with github.client() as client:
            token = await github.git_token(leased.task.repository)
            result = await publication.open_pull_request(leased, client, token)
        decision = result.verdict.decision.value
        rows = ((f.rule, f.path, f.line, f.message) for f in result.verdict.record().findings)
        findings = preview(("rule", "path", "line", "message"), rows)
        context.add_output_metadata({"verdict": decision, "findings": findings})
        if isinstance(result, Rejected):
            context.log.warning(f"the policy refused the change: {result.verdict.findings}")
        else:
            context.log_event(_materialization(settings, leased, result, decision))


def _materialization(
    settings: Settings, leased: "LeasedAttempt", published: "Published", decision: str
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        PULL_REQUESTS,
        partition=leased.task.repository,
        description=leased.task.title,
        metadata={
            "pull_request": dg.MetadataValue.url(published.pull_request.url),
            "task": leased.task.id,
            "attempt": leased.attempt.id,
            "trace_id": leased.task.trace_id,
            "created": published.created,
            "verdict": decision,
            **task_links(settings, leased.task.repository, leased.task.id),
        },
    )


@dg.op(
    ins={"published": dg.In(dg.Nothing)},
    description="Record how the attempt ended and what follows for its task; red when it did not succeed.",
    tags={"kind": "sql"},
)
def settle(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Run whatever the others met with, as long as the attempt is this run's, and fail the run where it failed."""
    from squire_pipelines.execution import ending, stored_work

    attempt_id = attempt_id_of(context)
    try:
        with run_trace(context):
            stored_work.store_attempt(settings, attempt_id, quick=True)  # no lease is prolonged here
            done = ending.settle(ledger, settings, attempt_id, run_id=context.run.run_id)
    except (LeaseLostError, StateConflictError) as error:
        raise dg.Failure(f"{error}", metadata={"attempt": attempt_id}, allow_retries=False) from error
    metadata = {**_settled_metadata(done), **task_links(settings, done.attempt.repository, done.attempt.task_id)}
    summary = f"{done.ending.cause}: {done.ending.message}"
    if not done.ending.cause.is_success:
        raise dg.Failure(summary, metadata=metadata, allow_retries=False)
    context.log.info(f"{summary}; the task has {done.settled.task_status}")
    context.add_output_metadata(metadata)


def _settled_metadata(done: "SettledAttempt") -> dict[str, Any]:
    attempt = done.attempt
    metadata: dict[str, Any] = {
        "attempt": attempt.id,
        "cause": done.ending.cause.value,
        "message": done.ending.message,
        "task_status": done.settled.task_status.value,
        "trace_id": attempt.trace_id,
        "log": dg.MetadataValue.md(f"`squire tasks logs {attempt.task_id}`"),
    }
    if attempt.pr_url:
        metadata["pull_request"] = dg.MetadataValue.url(attempt.pr_url)
    if attempt.agent_started_at:
        metadata["seconds_to_agent_start"] = (attempt.agent_started_at - attempt.queued_at).total_seconds()
    if done.ending.evidence.log_tail:
        metadata["last_lines"] = block(done.ending.evidence.log_tail)
    return metadata


@dg.job(
    name="agent_run",
    description="One attempt at one task: prepare, run the agent, publish, settle.",
    # For a step whose process or container was killed; what our code meets with is no failure of an op.
    op_retry_policy=dg.RetryPolicy(max_retries=2, delay=2),
    tags={"squire/part": "agent_run"},
)
def agent_run() -> None:
    """Run the ops one after the other, by the executor that the settings choose for the code location."""
    settle(publish(verify(run_agent(prepare()))))
