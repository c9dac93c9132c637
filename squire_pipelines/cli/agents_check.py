"""`squire agents check`: start the image of each agent that tasks may get, and ask its program and its provider."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.doctor.providers import ask_providers
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.lazy import command
from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.errors import EngineError, ExitCode, SquireError
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.model_use import protocol_of

_TIMEOUT_S = 150.0
_COLUMNS: Columns = {
    "agent": "agent",
    "": lambda row: "ok" if row.ok else "WRONG",
    "what": "subject",
    "answer": "answer",
    "next step": "hint",
}


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """What one check found, of a program in its image or of a model at its provider."""

    agent: str
    subject: str
    ok: bool
    answer: str
    hint: str = ""


@command("check", examples=("squire agents check", "squire agents check --json"))
@json_option
@with_context
def check(context: CliContext, *, as_json: bool) -> None:
    """Start the image of each agent that tasks may get or be given; ask its program's version, and the providers.

    A container is started for each, without a network, and removed. Providers are asked as `squire doctor` does. The
    exit code is 1 when something is wrong.
    """
    rows = [*_check_programs(context.settings), *_check_providers(context.settings)]
    if as_json:
        emit_json(rows)
    else:
        context.write_rows(rows, _COLUMNS, wrap=("answer", "next step"))
    wrong = [row for row in rows if not row.ok]
    if wrong:
        fail(f"{len(wrong)} of {len(rows)} checks found something wrong", "the table has the next step of each")
        raise SystemExit(ExitCode.FAILED)


def _check_programs(settings: Settings) -> Iterator[AgentCheck]:
    seen = set()
    for repository in settings.repositories or ("",):
        for choice in settings.orderable_choices(repository):
            agent = settings.agent_for(repository, choice)
            key = choice.agent, agent.model_dump_json()
            if key not in seen:
                seen.add(key)
                yield _check_program(settings, repository, choice)


def _check_program(settings: Settings, repository: str, choice: AgentChoice) -> AgentCheck:
    from squire_pipelines.agents import engine  # noqa: PLC0415 - Docker's client
    from squire_pipelines.agents.version_check import check_program  # noqa: PLC0415 - likewise

    agent = settings.agent_for(repository, choice)
    protocol = protocol_of(agent, settings.agent_provider(repository, choice))
    if agent.runner in {"local", "kubernetes"}:
        place = "on this machine" if agent.runner == "local" else "as a Job of a cluster"
        return AgentCheck(choice.agent, agent.kind, ok=True, answer=f"runs {place}: not asked")
    try:
        with closing(engine.connect(_TIMEOUT_S, image=agent.worker_image)) as client:
            program = check_program(client, agent, protocol=protocol)
    except EngineError as error:
        return AgentCheck(choice.agent, "engine", ok=False, answer=error.message, hint=error.hint or "")
    except SquireError as error:
        return AgentCheck(choice.agent, agent.worker_image, ok=False, answer=error.message, hint=error.hint or "")
    text = program.problem or f"{agent.kind} {program.version}".strip()
    return AgentCheck(choice.agent, program.image, ok=program.ok, answer=text, hint=program.hint)


def _check_providers(settings: Settings) -> Iterator[AgentCheck]:
    for result in ask_providers(settings):
        if result.name.startswith("agent"):
            yield AgentCheck(
                "", result.name, ok=result.status != "fail", answer=result.message, hint=result.next_step or ""
            )
