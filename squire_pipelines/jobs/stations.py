"""What the ops of `agent_run` do at each station, between the ledger's rows and the libraries. No Dagster here."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.agents.model import AgentKind, AttemptInputs, RunResult
from squire_pipelines.agents.prompt import build_prompt
from squire_pipelines.agents.runners import check_agent
from squire_pipelines.agents.workspace import write_inputs
from squire_pipelines.domain.endings import Cause, Evidence
from squire_pipelines.gateway.model import GatewayCall
from squire_pipelines.gateway.server import MAX_SOCKET_PATH_BYTES, Gateway, SocketDirectory
from squire_pipelines.jobs.holding import Held
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.records import ModelCallRow, record_model_call
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings import Settings

_INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md")
_MAX_INSTRUCTIONS = 64 * 1024
_LONGEST_SOCKET_BASE = MAX_SOCKET_PATH_BYTES - len("/squire-12345678/s/gateway.sock")
DEFAULT_MODEL_URL = "https://api.openai.com/v1"


def agent_name(settings: Settings, repository: str) -> str:
    """Who does the work, for the books: the model or the command's name."""
    agent = settings.agent_for(repository)
    return f"opencode:{agent.model}" if agent.kind == "opencode" else f"command:{Path(agent.command[0]).name}"


def hand_in(held: Held, clone_url: str, token: Secret | None, *, run_id: str) -> AttemptInputs:
    """Write the attempt's folder from a fresh mirror. Raises ConfigError, GitError, RepositoryError, WorkspaceError."""
    settings, task = held.settings, held.task
    check_agent(settings.agent_for(task.repository))
    mirror = fetch_mirror(settings.home, task.repository, clone_url, token)
    with tempfile.TemporaryDirectory(prefix="squire-bundle-") as scratch:
        bundle = Path(scratch) / "repo.bundle"
        base_sha = mirror.write_bundle(task.base_branch, bundle)
        found = (mirror.read_file(base_sha, name, _MAX_INSTRUCTIONS) for name in _INSTRUCTIONS)
        instructions = next((text.decode(errors="replace") for text in found if text), None)
        inputs = _inputs(held, base_sha, run_id=run_id, instructions=instructions)
        write_inputs(inputs, bundle)
    return inputs


def read_inputs(held: Held, *, run_id: str) -> AttemptInputs:
    """The inputs as `hand_in` wrote them, for a later op that may be another process."""
    return _inputs(held, held.attempt.base_sha or "", run_id=run_id, instructions=None)


def _inputs(held: Held, base_sha: str, *, run_id: str, instructions: str | None) -> AttemptInputs:
    settings, task = held.settings, held.task
    agent = settings.agent_for(task.repository)
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
        prompt=build_prompt(task.spec, repository=task.repository, branch=task.branch, instructions=instructions),
        agent_kind=AgentKind(agent.kind),
        agent_command=agent.command if agent.kind == "command" else (),  # general settings may name one too
        agent_model=agent.model,
        limits=agent.limits,
        image=agent.image,
        attempt_dir=settings.home.attempts / held.attempt.id,
    )


@contextlib.contextmanager
def gateway_for(held: Held, settings: Settings) -> Iterator[Gateway | None]:
    """The door to the model for an agent that needs one; None for a command, which gets none."""
    agent = settings.agent_for(held.task.repository)
    if agent.kind != "opencode" or agent.model is None:
        yield None
        return
    key = find_secret("model-key", settings.home)
    with (
        SocketDirectory(_socket_base(settings)) as socket,
        Gateway(
            socket,
            agent.base_url or settings.planner.base_url or DEFAULT_MODEL_URL,
            key.reveal() if key else None,
            [agent.model],
            on_call=lambda call: _record_call(held, call),
        ) as gateway,
    ):
        yield gateway


def _socket_base(settings: Settings) -> Path | None:
    # Under the home, which step containers share with the engine's host, if a socket's name is not too long there.
    run = settings.home.run
    if len(bytes(run)) > _LONGEST_SOCKET_BASE:
        return None
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return run


def _record_call(held: Held, call: GatewayCall) -> None:
    row = ModelCallRow(
        purpose="agent",
        model=call.model or "",
        ok=call.error is None,
        status=call.status,
        input_tokens=call.input_tokens or 0,
        output_tokens=call.output_tokens or 0,
        latency_s=call.latency_s,
        error=call.error,
        trace_id=held.task.trace_id,
        repository=held.task.repository,
        task_id=held.task.id,
        attempt_id=held.attempt.id,
    )
    with held.ledger.write() as tx:
        record_model_call(tx, row)


def record_run(held: Held, result: RunResult) -> None:
    """Keep what the run showed; its end is staged, or publishing begins. Raises LeaseLostError."""
    ending = result.ending
    said = result.result
    with held.ledger.write() as tx:
        attempts.note(
            tx,
            held.attempt.id,
            held.token,
            image=result.image_digest,
            agent_started_at=result.agent_started_at,
            agent_ended_at=said.timings.agent_end if said else None,
            evidence=ending.evidence.model_dump(mode="json"),
            **attempts.tokens_used(tx, held.attempt.id),
        )
        if ending.cause is Cause.COMPLETED and said is not None and said.head_sha is not None:
            attempts.start_publishing(tx, held.attempt.id, held.token, head_sha=said.head_sha)
        else:
            attempts.stage_ending(tx, held.attempt.id, held.token, ending)


def evidence(held: Held) -> Evidence:
    """The evidence that the run left in the attempt's row."""
    with held.ledger.read() as tx:
        stored = attempts.get(tx, held.attempt.id).evidence
    return Evidence.model_validate(stored) if stored else Evidence()
