"""`squire plans context`: what a planner is told of a repository or a group, and the commands that files name."""

import asyncio

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import REPOSITORY
from squire_pipelines.cli.unlock import unlock_store
from squire_pipelines.domain.repository_facts import CommandPurpose, FoundCommand, RepositoryContext
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ConfigError, ExitCode
from squire_pipelines.execution.repository_context import RepositoryReader, read_together
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.planning.context_text import describe_context
from squire_pipelines.planning.plan_context import PlanContext
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.file import key_text, toml_text
from squire_pipelines.settings.goals import group_named
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import write_labelled, write_line

_TOLD_NOTHING = "planner.context_bytes is 0: a planner is told nothing of a repository."


@command(
    "context",
    examples=(
        "squire plans context owner/name",
        "squire plans context owner/name --json",
        "squire plans context --group checkout",
    ),
)
@click.argument("repository", type=REPOSITORY, required=False)
@click.option("--group", "group_name", metavar="NAME", help="Show it of the repositories of this group, together.")
@json_option
@with_context
def context(context: CliContext, repository: str | None, group_name: str | None, *, as_json: bool) -> None:
    """Show what a planner is told of a repository beside its signals, as a model reads it.

    With --group it is what a model is told that plans the group: its repositories share the room of one.

    What the repository's files, its people and agents wrote stands between marks. Commands that its files name are
    offered for `verification`: read them before you set one. Nothing of the repository is run.
    """
    if (repository is None) == (group_name is None):
        raise click.UsageError("name a repository, or a group with --group")
    if group_name is not None:
        group = group_named(context.settings, group_name)
        unlock_store(context, context.settings.secret_sources)
        with live_line("reading the repositories of the group"):
            known_together = asyncio.run(_read_group(context, group))
        _show_group(group, known_together, as_json=as_json)
        return
    name = context.settings.spelling_of(repository or "")
    if name is None:
        raise ConfigError(
            f"{repository}: not among the repositories of the settings",
            hint="add it: `squire config set repositories …`",
        )
    unlock_store(context, context.settings.secret_sources)
    settings = repository_settings(context.ledger, context.settings).of(name)
    with live_line("reading the repository"):
        known = asyncio.run(_read(context, settings, name))
    text = describe_context(known, max_bytes=settings.planner.context_bytes)
    commands = _commands_to_offer(known, settings)
    if as_json:
        size = len(text.encode("utf-8", "surrogatepass"))
        verification = {purpose: command.model_dump(mode="json") for purpose, command in commands.items()}
        emit_json({**known.model_dump(mode="json"), "verification": verification, "prompt": text, "bytes": size})
    else:
        _write(known, text, commands)
    if known.code is None:
        write_labelled("not read", known.why_no_code, color="red")
        raise SystemExit(ExitCode.FAILED)


async def _read(context: CliContext, settings: Settings, name: str) -> RepositoryContext:
    async with GitHub(settings, context.ledger).client() as client:
        info = await repository_info(client, name)
    return await RepositoryReader(settings, context.ledger, name, info).context()


async def _read_group(context: CliContext, group: PlanGroup) -> PlanContext:
    own = repository_settings(context.ledger, context.settings)
    async with GitHub(context.settings, context.ledger).client() as client:
        infos = {name: await repository_info(client, name) for name in group.repositories}
    readers = [
        RepositoryReader(own.of(name), context.ledger, name, info)
        for name, info in infos.items()
        if info.default_branch is not None  # as for a plan, which leaves out what has no commit
    ]
    limit = context.settings.collection.max_concurrent_repositories
    return await read_together(readers, max_bytes=context.settings.planner.context_bytes, limit=limit)


def _show_group(group: PlanGroup, known: PlanContext, *, as_json: bool) -> None:
    texts = known.texts(known.max_bytes)
    if as_json:
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts.values())
        repositories = [{**one.model_dump(mode="json"), "prompt": texts[one.repository]} for one in known.repositories]
        emit_json({"group": group.name, "repositories": repositories, "bytes": size})
    else:
        for name, text in texts.items():
            write_line(f"What is known of {name}:\n\n{text or _TOLD_NOTHING}\n")
    silent = [one for one in known.repositories if one.code is None]
    for one in silent:
        write_labelled("not read", f"{one.repository}: {one.why_no_code}", color="red")
    if silent:
        raise SystemExit(ExitCode.FAILED)


def _commands_to_offer(known: RepositoryContext, settings: Settings) -> dict[CommandPurpose, FoundCommand]:
    """Return the commands for what the settings have none."""
    rules = settings.verification_for(known.repository)
    defaults = known.code.defaults() if known.code is not None else {}
    return {purpose: command for purpose, command in defaults.items() if getattr(rules, purpose) is None}


def _write(known: RepositoryContext, text: str, commands: dict[CommandPurpose, FoundCommand]) -> None:
    write_line(text or _TOLD_NOTHING)
    if pulls := known.history.pull_requests:
        write_line()
        write_line("Open pull requests, which a planner sees with the signals:")
        for pull in pulls:
            draft = ", a draft" if pull.draft else ""
            write_line(f"  #{pull.number} {one_line(pull.title)} (by {one_line(pull.author)}{draft})")
    if commands:
        write_line()
        write_line("For the settings, which have no such command. Whoever may write to the repository can change what")
        write_line(
            "its files say: read each before you take it, since Squire runs it on each change. It runs none now."
        )
        write_line()
        write_line(f"[{key_text(('repository', known.repository, 'verification'))}]")
        for purpose, command in commands.items():
            write_line(f"{purpose} = {toml_text(command.command)}  # {one_line(command.source)}")
