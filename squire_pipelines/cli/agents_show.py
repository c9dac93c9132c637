"""`squire agents show|transcript`: what an agent may do, and what one has done. Reads; asks no engine."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from squire_pipelines.agent_names import PROGRAMS, WITH_IMAGE
from squire_pipelines.agents.adapters.protocol import Agent, AgentConfig, LaunchSpec, Marker
from squire_pipelines.agents.adapters.registry import find, provider_of
from squire_pipelines.agents.adapters.session import FILE, read
from squire_pipelines.agents.adapters.transcript import (
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionNote,
    SessionTotals,
    ToolCall,
)
from squire_pipelines.cli.agents_history import assigned_agents
from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    with_context,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.tasks_logs import attempt_option, choose_attempt
from squire_pipelines.cli.text import counted, instant
from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.errors import ConfigError, NotFoundError
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.default_models import default_model
from squire_pipelines.settings.model_use import protocol_of
from squire_pipelines.settings.providers import ModelProvider
from squire_pipelines.terminal.output import write_line

_TEXT_LINES = 20
_COLUMNS: Columns = {
    "what": "subject",
    "which": "pattern",
    "verdict": lambda permission: "allow" if permission.allow else "deny",
    "why": "why",
}


@command("show", examples=("squire agents show", "squire agents show opencode --json"))
@click.argument("name", required=False)
@json_option
@with_context
def show(context: CliContext, name: str | None, *, as_json: bool) -> None:
    """Show how an agent is started and everything that it may do: the one named, or else that of the settings."""
    choice = None if name is None else AgentChoice(agent=name)
    configured, provider = context.settings.agent_for("", choice), context.settings.agent_provider("", choice)
    agent = find(configured.kind)
    origin, launch = provider_of(agent.name), _launch(agent, configured, provider)
    assigned = [one for one in assigned_agents(context) if one.agent == (name or agent.name)]
    if as_json:
        facts = {"name": agent.name, "origin": origin, "protocols": agent.protocols}
        emit_json(
            {**facts, "assigned": assigned, "launch": launch and launch.document(), "permissions": agent.permissions}
        )
        return
    write_line(f"{agent.name} ({origin})")
    for heading, text in _facts(agent, launch):
        write_line(f"  {heading}: {text}")
    for one in assigned:
        write_line(
            f"  tasks of {one.repository or 'any repository'} get it: by {one.by}, model {one.model or 'not set'}"
        )
    write_line("")
    context.write_rows(agent.permissions, _COLUMNS, wrap=("which", "why"))
    write_line("\nThe last line that matches counts. The container never allows more than docs/security.md says.")


def _launch(agent: Agent, settings: AgentSettings, provider: ModelProvider) -> LaunchSpec | None:
    """Return how it would be started by these settings, or by a model to be named; None where they do not fit it."""
    command, model = settings.command or ("COMMAND",), settings.model or "MODEL"
    protocol = protocol_of(settings.model_copy(update={"model": model}), provider)
    config = AgentConfig(
        command=() if agent.name in PROGRAMS else command,
        model=model,
        options=settings.options if agent.name == settings.kind else {},
        protocol=protocol if protocol in agent.protocols else next(iter(agent.protocols), None),
    )
    try:
        agent.check(config)
    except ConfigError:
        return None
    return agent.launch(config)


def _facts(agent: Agent, launch: LaunchSpec | None) -> Iterator[tuple[str, str]]:
    yield "model", f"through the gateway, by {' or '.join(agent.protocols)}" if agent.protocols else "none"
    models = {protocol: default_model(agent.name, protocol) for protocol in agent.protocols}
    if any(models.values()):
        shown = ", ".join(f"{model} ({protocol})" for protocol, model in models.items())
        yield "model by default", f"{shown}, with a provider's own company"
    if agent.name in WITH_IMAGE:
        yield "image", f"its own, which `squire agents build {agent.name}` makes"
    if launch is None:
        yield "command", "the settings of this Squire are not those of this agent"
        return
    yield "command", one_line(shlex.join(launch.argv))
    yield "prompt", "an argument" if Marker.PROMPT in launch.argv else "standard input" if launch.stdin else "a file"
    for variable, value in launch.environment.items():
        yield "environment", one_line(f"{variable}={value}")
    paths = {
        "files": launch.files,
        "files in HOME": launch.home,
        "taken out of the clone": launch.restore,
        "never committed": launch.exclude,
    }
    for heading, names in paths.items():
        if names:
            yield heading, ", ".join(names)


@command(
    "transcript",
    examples=("squire agents transcript t0m1e2x3a4m5p6l", "squire agents transcript t0m1e2x3a4m5p6l --json"),
)
@click.argument("task_id", metavar="ID", type=TASK_ID)
@attempt_option
@json_option
@with_home_to_read
def transcript(context: CliContext, task_id: str, number: int | None, *, as_json: bool) -> None:
    """Show what an agent did in an attempt: its model's answers, the tools that it used, errors, and the sums."""
    from squire_pipelines.file_store.attempt_copies import AttemptCopy  # noqa: PLC0415 - pydantic

    attempt = choose_attempt(context, task_id, number)
    entries = _entries(AttemptCopy(context.settings, attempt.id).kept(FILE), task_id, attempt.number)
    totals = SessionTotals()
    if as_json:
        listed = list(entries)
        for entry in listed:
            totals = totals.after(entry)
        shown = [entry.model_dump(mode="json", exclude_defaults=True) | {"kind": entry.kind} for entry in listed]
        emit_json({"attempt": attempt.id, "totals": totals.facts(), "entries": shown})
        return
    for entry in entries:
        totals = totals.after(entry)
        for line in _lines(entry):
            write_line(line)
    calls = f"{counted(totals.tool_calls, 'tool call')} ({totals.failed_tool_calls} failed)"
    spent = f"{totals.input_tokens} in, {totals.output_tokens} out, ${totals.cost_usd:.4f} by its own estimate"
    write_line(f"\n{counted(totals.steps, 'step')}, {calls}; tokens: {spent}")


def _entries(path: Path | None, task_id: str, number: int) -> Iterator[Entry]:
    if path is None:
        raise NotFoundError(
            f"attempt {number} of task {task_id} left no transcript",
            hint=f"only some agents tell what they do; `squire tasks logs {task_id}` has the log",
        )
    return read(path)


def _lines(entry: Entry) -> Iterator[str]:
    at = f"{instant(entry.at)}  " if entry.at else ""
    match entry:
        case ModelStep():
            tokens = f"{entry.input_tokens} tokens in, {entry.output_tokens} out"
            yield f"{at}step   {tokens} {one_line(entry.reason)}".rstrip()
        case ToolCall():
            took = f" in {entry.seconds:.1f} s" if entry.seconds is not None else ""
            yield f"{at}tool   {one_line(entry.tool)}: {entry.status}{took}  {one_line(entry.input)}"
            yield from _text(entry.error or entry.output)
        case ModelText():
            yield f"{at}text"
            yield from _text(entry.text)
        case SessionError():
            whose = "provider" if entry.provider else "agent"
            yield f"{at}error  {one_line(entry.name)} ({whose}): {one_line(entry.message)}"
        case SessionNote():
            yield f"{at}note   {one_line(entry.text)}"


def _text(text: str) -> Iterator[str]:
    lines = plain(text).splitlines()
    for line in lines[:_TEXT_LINES]:
        yield f"    {line}"
    if len(lines) > _TEXT_LINES:
        yield f"    ({len(lines) - _TEXT_LINES} more lines: --json has them)"
