"""What the ops of `agent_run` do at each station, between the ledger's rows and the libraries. No Dagster here."""

import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from squire_pipelines.agents.adapters.caches import read_caches
from squire_pipelines.agents.adapters.protocol import LaunchSpec
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.adapters.skills import Skill, read_skills, write_skills
from squire_pipelines.agents.limits import effective_limits
from squire_pipelines.agents.model import AttemptFolder, AttemptInputs, RunResult
from squire_pipelines.agents.prompt import Instructions, build_prompt, prompt_version, with_notes
from squire_pipelines.agents.runners import agent_config_of, check_agent
from squire_pipelines.agents.workspace import write_inputs
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import ConfigError, WorkspaceError
from squire_pipelines.execution import gateway_session
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.notes import policy_notes
from squire_pipelines.secrets import Secret
from squire_pipelines.sections import AgentSettings, LimitSettings
from squire_pipelines.settings import Settings

_INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md", "GEMINI.md")
_MAX_INSTRUCTIONS = 64 * 1024


def agent_name(settings: Settings, repository: str) -> str:
    """Who does the work, for the books: the model or the command's name."""
    agent = settings.agent_for(repository)
    return find(agent.kind).title(agent_config_of(agent))


def prepare_workspace(held: LeasedAttempt, clone_url: str, token: Secret | None, *, run_id: str) -> AttemptInputs:
    """Write the attempt's folder from a fresh mirror. Raises ConfigError, GitError, RepositoryError, WorkspaceError."""
    settings, task = held.settings, held.task
    check_agent(settings.agent_for(task.repository))
    mirror = fetch_mirror(settings.home, task.repository, clone_url, token)
    with tempfile.TemporaryDirectory(prefix="squire-bundle-") as scratch:
        bundle = Path(scratch) / "repo.bundle"
        base_sha = mirror.write_bundle(task.base_branch, bundle)
        found = ((name, mirror.read_file(base_sha, name, _MAX_INSTRUCTIONS)) for name in _INSTRUCTIONS)
        instructions = next((Instructions(name, text.decode(errors="replace")) for name, text in found if text), None)
        skills = read_skills(settings.agent_for(task.repository).skills)
        inputs = _inputs(held, base_sha, run_id=run_id, instructions=instructions, skills=skills)
        notes = mirror.notes(base_sha)
        rules = policy_notes(settings.policy_for(task.repository), task.spec)
        inputs = replace(inputs, prompt=with_notes(inputs.prompt, (*notes, *rules)))
        write_inputs(inputs, bundle, notes=notes)
    try:
        write_skills(inputs.folder.inbox, skills)
    except OSError as error:
        raise WorkspaceError(
            f"the skills of attempt {inputs.attempt_id} cannot be written: {error}",
            hint="check the free space and the owner of the attempts folder",
        ) from error
    held.note(prompt_version=prompt_version(), model=settings.agent_for(task.repository).model)
    return inputs


def read_inputs(held: LeasedAttempt, *, run_id: str) -> AttemptInputs:
    """The inputs as `prepare_workspace` wrote them, for a later op that may be another process."""
    return _inputs(held, held.attempt.base_sha or "", run_id=run_id)


def _inputs(
    held: LeasedAttempt,
    base_sha: str,
    *,
    run_id: str,
    instructions: Instructions | None = None,
    skills: tuple[Skill, ...] = (),
) -> AttemptInputs:
    settings, task = held.settings, held.task
    agent = settings.agent_for(task.repository)
    kind = find(agent.kind)
    return AttemptInputs(
        attempt_id=held.attempt.id,
        task_id=task.id,
        run_id=run_id,
        trace_id=task.trace_id,
        repository=task.repository,
        base_ref=task.base_branch,
        base_sha=base_sha,
        branch=task.branch,
        bot_name=settings.github.bot_name,
        bot_email=settings.github.bot_email,
        commit_message=f"{task.title}\n\nTask: {task.id}\nTrace-Id: {task.trace_id}\n",
        task_json=task.spec.model_dump_json(indent=2),
        prompt=build_prompt(
            task.spec, repository=task.repository, branch=task.branch, instructions=instructions, skills=skills
        ),
        agent=kind,
        launch=_launch(held, agent),
        caches=read_caches(agent.caches),
        limits=limits_of(held.ledger, agent, task, held.attempt),
        image=agent.image,
        attempt_dir=settings.home.attempts / held.attempt.id,
    )


def _launch(held: LeasedAttempt, agent: AgentSettings) -> LaunchSpec:
    kind = find(agent.kind)
    launch = kind.launch(agent_config_of(agent)).checked(kind.name)
    ways = gateway_session.egress_environment(held.settings.gateway_for(held.task.repository))
    return replace(launch, environment={**ways, **launch.environment})


def limits_of(ledger: Ledger, agent: AgentSettings, task: Task, attempt: Attempt) -> LimitSettings:
    """What this attempt's container may use. Raises ConfigError when the task asks for more than it may."""
    after_oom = False
    if attempt.previous_id is not None:
        with ledger.read() as tx:
            after_oom = attempts.get(tx, attempt.previous_id).cause == Cause.OUT_OF_MEMORY
    return effective_limits(agent, task.spec.limits, after_oom=after_oom)


def refusal(ledger: Ledger, settings: Settings, attempt_id: str) -> Ending | None:
    """Why an attempt cannot start, found before it is claimed; None when it can, or has been claimed already."""
    with ledger.read() as tx:
        attempt = attempts.get(tx, attempt_id)
        task = tasks.get(tx, attempt.task_id)
    if attempt.status is not AttemptStatus.QUEUED:
        return None
    agent = settings.agent_for(task.repository)
    try:
        check_agent(agent)
        limits_of(ledger, agent, task, attempt)
    except ConfigError as error:
        return Ending(cause=Cause.NOT_STARTABLE, message=str(error), evidence=Evidence(error_code=error.code))
    return None


def is_prepared(held: LeasedAttempt) -> bool:
    """Whether an earlier holder of this attempt has written its workspace: its container may be at work in it."""
    inbox = AttemptFolder(held.settings.home.attempts / held.attempt.id).inbox
    return held.attempt.base_sha is not None and (inbox / "attempt.json").is_file()


def record_run(held: LeasedAttempt, result: RunResult) -> None:
    """Keep what the run showed; its end is staged, or publishing begins. Raises LeaseLostError."""
    ending = result.ending
    said = result.result
    timings = dict(result.timings)
    with held.ledger.write() as tx:
        if result.agent_started_at is not None:
            first = first_call(tx, held.attempt.id)
            if first is not None:
                timings["first_call_s"] = round(max(0.0, (first - result.agent_started_at).total_seconds()), 3)
        known = attempts.get(tx, held.attempt.id).timings or {}
        attempts.note(
            tx,
            held.attempt.id,
            held.token,
            image=result.image_digest,
            timings=known | timings,
            agent_version=said.agent_version if said else None,
            agent_started_at=result.agent_started_at,
            agent_ended_at=said.timings.agent_end if said else None,
            evidence=ending.evidence.model_dump(mode="json"),
            **attempts.tokens_used(tx, held.attempt.id),
        )
        if ending.cause is Cause.COMPLETED and said is not None and said.head_sha is not None:
            attempts.start_publishing(tx, held.attempt.id, held.token, head_sha=said.head_sha)
        else:
            attempts.stage_ending(tx, held.attempt.id, held.token, ending)


def first_call(tx: Transaction, attempt_id: str) -> datetime | None:
    """When the attempt's first model call began."""
    row = tx.execute(
        select(model_calls.c.at, model_calls.c.latency_s)
        .where(model_calls.c.attempt_id == attempt_id)
        .order_by(model_calls.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else row.at - timedelta(seconds=row.latency_s)


def evidence(held: LeasedAttempt) -> Evidence:
    """The evidence that the run left in the attempt's row."""
    with held.ledger.read() as tx:
        stored = attempts.get(tx, held.attempt.id).evidence
    return Evidence.model_validate(stored) if stored else Evidence()
