"""An attempt's workspace: its folder written from a fresh mirror, and what the agent's run left in it."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from squire_pipelines.agents.adapters.caches import read_caches
from squire_pipelines.agents.adapters.protocol import Caps, LaunchSpec
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.adapters.skills import Skill, read_skills, write_skills
from squire_pipelines.agents.agent_config import agent_config_of
from squire_pipelines.agents.attempt_files import write_inputs
from squire_pipelines.agents.evidence_files import MAX_FILE_CHARS, EvidenceFile, evidence_files
from squire_pipelines.agents.model import AttemptFolder, AttemptInputs, RunResult
from squire_pipelines.agents.prompt import PROMPT_VERSION, Instructions, build_prompt, with_notes
from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.leftovers import leftover_patterns
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.timings import Timings
from squire_pipelines.errors import WorkspaceError
from squire_pipelines.execution.conflicts import base_of_conflict, keep_start, resolves_conflict, start_of_conflict
from squire_pipelines.execution.gateway_session import egress_environment
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.planned_checks import spec_for_agent
from squire_pipelines.execution.price_checks import check_prices
from squire_pipelines.execution.startable import check_agent_of, limits_of
from squire_pipelines.execution.stored_work import store_finished_work
from squire_pipelines.files import write_atomically
from squire_pipelines.ledger import attempts, collections, outcomes
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.model_calls import usage_of_attempt
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.publishing.author import commit_author
from squire_pipelines.publishing.conflict_start import ConflictStart, write_start_bundle
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.notes import policy_notes
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model_use import protocol_of

_INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md", "GEMINI.md")
_MAX_INSTRUCTIONS = 64 * 1024

EVIDENCE_FILE = "evidence.json"
"""In an attempt's `keep`: the evidence of the agent's run whose work lies there."""


def agent_title(agent: AgentSettings) -> str:
    """Return who does the work, as the records name it: the model or the command's name."""
    return find(agent.kind).title(agent_config_of(agent))


def folder_of(leased: LeasedAttempt) -> AttemptFolder:
    """Return the attempt's folder."""
    return AttemptFolder(leased.settings.home.attempts / leased.attempt.id)


def prepare_workspace(leased: LeasedAttempt, mirror: Mirror, *, run_id: str) -> AttemptInputs:
    """Write the attempt's folder.

    Args:
        leased: The attempt.
        mirror: Of its repository, as it was fetched just now.
        run_id: The run that works on it.

    Raises:
        ConfigError: The settings name an agent that cannot start.
        GitError: The repository has no such branch.
        WorkspaceError: The folder cannot be written.
    """
    settings, task = leased.settings, leased.task
    agent = leased.agent
    check_agent_of(settings, task.repository, leased.attempt.choice)
    check_prices(settings, task.repository, leased.attempt.choice)
    with tempfile.TemporaryDirectory(prefix="squire-bundle-") as scratch:
        bundle = Path(scratch) / "repo.bundle"
        start = start_of_conflict(leased, mirror) if resolves_conflict(task.spec) else None
        if start is None:
            base_sha = mirror.write_bundle(task.base_branch, bundle)
        else:
            base_sha = start.sha
            write_start_bundle(mirror, start, branch=task.base_branch, out=bundle)
        files = ((name, mirror.read_file(base_sha, name, _MAX_INSTRUCTIONS)) for name in _INSTRUCTIONS)
        instructions = next((Instructions(name, text.decode(errors="replace")) for name, text in files if text), None)
        skills = read_skills(agent.skills)
        evidence = _evidence(leased) if start is None else (_conflict_file(leased, start),)
        inputs = _inputs(leased, base_sha, run_id=run_id, instructions=instructions, skills=skills, evidence=evidence)
        notes = mirror.notes(base_sha)
        rules = policy_notes(settings.policy_for(task.repository), task.spec)
        prompt = with_notes(inputs.prompt, (*notes, *rules))
        inputs = replace(inputs, prompt=prompt, takes_empty=start is not None)
        write_inputs(inputs, bundle, notes=notes, evidence=evidence)
    try:
        if start is not None:
            keep_start(start, inputs.folder.keep)
        write_skills(inputs.folder.inbox, skills)
    except OSError as error:
        raise WorkspaceError(
            f"the workspace of attempt {inputs.attempt_id} cannot be written: {error}",
            hint="check the free space and the owner of the attempts folder",
        ) from error
    leased.note(AttemptFacts(prompt_version=PROMPT_VERSION, model=agent.model))
    return inputs


def is_prepared(leased: LeasedAttempt) -> bool:
    """Return whether an earlier run has written the workspace: the attempt's container may be at work in it."""
    return leased.attempt.base_sha is not None and (folder_of(leased).inbox / "attempt.json").is_file()


def read_inputs(leased: LeasedAttempt, *, run_id: str) -> AttemptInputs:
    """Return the inputs that `prepare_workspace` wrote, for a later step that may be another process."""
    return _inputs(leased, leased.attempt.base_sha or "", run_id=run_id)


def _inputs(
    leased: LeasedAttempt,
    base_sha: str,
    *,
    run_id: str,
    instructions: Instructions | None = None,
    skills: tuple[Skill, ...] = (),
    evidence: tuple[EvidenceFile, ...] = (),
) -> AttemptInputs:
    settings, task = leased.settings, leased.task
    agent = leased.agent
    author = commit_author(settings.github, None)  # of commits that nobody sees: the published one is Squire's own
    return AttemptInputs(
        attempt_id=leased.attempt.id,
        task_id=task.id,
        run_id=run_id,
        trace_id=task.trace_id,
        repository=task.repository,
        base_ref=task.base_branch,
        base_sha=base_sha,
        branch=task.branch,
        bot_name=author.name,
        bot_email=author.email,
        commit_message=f"{task.title}\n\nTask: {task.id}\nTrace-Id: {task.trace_id}\n",
        task_json=task.spec.model_dump_json(indent=2),
        prompt=build_prompt(
            spec_for_agent(leased),
            repository=task.repository,
            branch=task.branch,
            instructions=instructions,
            skills=skills,
            evidence=evidence,
        ),
        agent=find(agent.kind),
        launch=launch_of(leased),
        caches=read_caches(agent.caches),
        leftovers=leftover_patterns(_own_words(task.spec)),
        limits=limits_of(leased.ledger, agent, task, leased.attempt),
        image=agent.worker_image,
        attempt_dir=settings.home.attempts / leased.attempt.id,
    )


def _own_words(spec: TaskSpec) -> Iterator[str]:
    """Yield what a task says of the files that it wants; a prompt with facts in it quotes logs, which name any file."""
    yield from (spec.title, *spec.acceptance_criteria, *spec.allow_protected)
    yield from (*spec.implementation.files_to_modify, *spec.implementation.files_to_create)
    if not spec.signals:
        yield spec.prompt


def _evidence(leased: LeasedAttempt) -> tuple[EvidenceFile, ...]:
    refs = leased.task.spec.signals
    with leased.ledger.read() as tx:
        return evidence_files(refs, collections.named_signals(tx, leased.task.repository, refs))


def _conflict_file(leased: LeasedAttempt, start: ConflictStart) -> EvidenceFile:
    text = start.describe(leased.task.base_branch, base_of_conflict(leased) or "the base")
    return EvidenceFile("conflict.txt", None, text[:MAX_FILE_CHARS])


def launch_of(leased: LeasedAttempt) -> LaunchSpec:
    """Return how the attempt's program is started, by the settings. Raises ConfigError where it cannot be."""
    agent = leased.agent
    adapter = find(agent.kind)
    cap = leased.settings.budgets_for(leased.task.repository).cap(Purpose.ATTEMPT)
    limits = limits_of(leased.ledger, agent, leased.task, leased.attempt)
    protocol = protocol_of(agent, leased.provider)
    caps = Caps(cap.tokens, cap.usd, limits.wall_clock_s)
    launch = adapter.launch(agent_config_of(agent, protocol=protocol, caps=caps)).checked(adapter.name)
    egress = egress_environment(leased.settings.gateway_settings_for(leased.task.repository))
    return replace(launch, environment={**egress, **launch.environment})


def record_run(leased: LeasedAttempt, result: RunResult) -> None:
    """Record what the run showed, and stage its end or begin publishing, once its work is kept.

    Raises:
        StoredFileTakenError: See `stored_work.store_finished_work`.
        LeaseLostError: The attempt is another run's.
    """
    ending, report = result.ending, result.result
    timings, folder = dict(result.timings), folder_of(leased)
    if report is not None and report.head_sha is not None:
        # The row's evidence becomes that of the end, which may be a refused push.
        write_atomically(folder.keep / EVIDENCE_FILE, ending.evidence.model_dump_json().encode(), mode=0o600)
        store_finished_work(leased, folder)
    with leased.ledger.write() as tx:
        if result.agent_started_at is not None:
            first = first_call(tx, leased.attempt.id)
            if first is not None:
                timings["first_call_s"] = round(max(0.0, (first - result.agent_started_at).total_seconds()), 3)
        earlier = attempts.get(tx, leased.attempt.id).timings or Timings()
        facts = AttemptFacts(
            image=result.image_digest,
            timings=earlier.with_parts(timings),
            agent_version=report.agent_version if report else None,
            agent_started_at=result.agent_started_at,
            agent_ended_at=result.agent_ended_at,
            evidence=ending.evidence,
            usage=usage_of_attempt(tx, leased.attempt.id),
        )
        attempts.note(tx, leased.attempt.id, leased.token, facts)
        leased.audit(tx, "container.stopped", purpose="agent", cause=ending.cause, image=result.image_digest)
        is_kept = ending.cause is Cause.COMPLETED or _keeps_unfinished(tx, leased, result)
        if is_kept and report is not None and report.head_sha is not None:
            attempts.start_publishing(tx, leased.attempt.id, leased.token, head_sha=report.head_sha)
        else:
            attempts.stage_ending(tx, leased.attempt.id, leased.token, ending)


def _keeps_unfinished(tx: Transaction, leased: LeasedAttempt, result: RunResult) -> bool:
    """Return whether what an agent had made at its time limit becomes a draft; a follow-up adds none of it."""
    if result.ending.cause is not Cause.TIMEOUT or result.bundle is None:
        return False
    is_follow_up = outcomes.of_own_branch(tx, leased.task.repository, leased.task.base_branch) is not None
    return leased.settings.publishing.keep_timed_out and not is_follow_up


def first_call(tx: Transaction, attempt_id: str) -> datetime | None:
    """Return when the attempt's first model call began, None when it made none."""
    row = tx.execute(
        select(model_calls.c.at, model_calls.c.latency_s)
        .where(model_calls.c.attempt_id == attempt_id)
        .order_by(model_calls.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else row.at - timedelta(seconds=row.latency_s)
