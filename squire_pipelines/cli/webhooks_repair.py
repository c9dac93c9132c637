"""`squire webhooks repair`: compares the deliveries with GitHub's now, and has sent again what is missing."""

import asyncio
from datetime import datetime
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import MOMENT, REPOSITORY
from squire_pipelines.cli.text import instant
from squire_pipelines.cli.unlock import unlock_store
from squire_pipelines.domain.delivery_gaps import KEPT_FOR, DeliveryGap
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ConfigError, ExitCode, RefusedError
from squire_pipelines.execution.delivery_repair import HookRepair, RepairOptions, RepairResult, repair_deliveries
from squire_pipelines.github.connection import GitHub
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.settings.named_repositories import repositories_of_cycle
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import write_labelled, write_line

_SHOWN = 20


@command(
    "repair",
    examples=(
        "squire webhooks repair --dry-run   # what is missing; nothing is asked for",
        "squire webhooks repair",
        "squire webhooks repair --repository acme/api --since 1d",
    ),
)
@click.option(
    "--repository", "repositories", type=REPOSITORY, multiple=True, help="Only this repository; may be given again."
)
@click.option(
    "--since", type=MOMENT, metavar="TIME", help="Compare from then on, at most 3 days ago; else from the last time on."
)
@click.option("--dry-run", is_flag=True, help="Compare alone: nothing is asked for, and nothing is recorded.")
@json_option
@with_context
def repair(
    context: CliContext,
    repositories: tuple[str, ...],
    since: datetime | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare the deliveries that GitHub lists with those that are here, and have it send again what is missing.

    `squire dev` does so by itself, at its start and by webhooks.repair_schedule. The repositories of what is missing
    are read at once. A delivery that comes twice has one effect. Exit codes: 1 where something is still missing, or a
    webhook cannot be asked about; with --dry-run, where something is missing; 3 where the settings name no repository
    or no webhook secret, 5 where another repair is under way.
    """
    settings = context.settings
    unlock_store(context, settings.secret_sources)
    names = repositories_of_cycle(settings, repositories)
    only = names if repositories else ()
    options = RepairOptions(only=only, since=since, is_dry_run=dry_run, is_patient=False)
    trace_id = new_trace_id()
    with bound_context(trace_id=trace_id):
        github = GitHub(settings, context.ledger)
        with live_line("comparing the deliveries that GitHub lists"):
            result = asyncio.run(repair_deliveries(context.ledger, settings, github, options, trace_id=trace_id))
    if as_json:
        emit_json(_document(result))
    elif not result.idle:
        _show(context, result, is_dry_run=dry_run)
    if result.is_busy:
        raise RefusedError(f"nothing was compared: {result.idle}", hint="run the command again when that has ended")
    if result.idle:
        hint = "`squire secrets set webhook-secret` keeps one, which GitHub's webhook has to have too"
        raise ConfigError(f"nothing was compared: {result.idle}", hint=hint)
    if result.unseen or any(hook.error or len(hook.gaps) > hook.arrived for hook in result.hooks):
        raise SystemExit(ExitCode.FAILED)


def _document(result: RepairResult) -> dict[str, Any]:
    return {
        "idle": result.idle or None,
        "hooks": [
            {
                "hook": hook.hook,
                "since": hook.since,
                "listed": hook.listed,
                "missing": len(hook.gaps),
                "failed": hook.failed,
                "asked_again": hook.asked,
                "refused": hook.refused,
                "arrived": hook.arrived,
                "collections": list(hook.collected),
                "error": hook.error or None,
                "hint": hook.hint or None,
                "deliveries": [_gap(gap) for gap in hook.gaps],
            }
            for hook in result.hooks
        ],
        "not_compared": [{"hook": hook.name, "reason": hook.reason, "hint": hook.hint} for hook in result.unseen],
    }


def _gap(gap: DeliveryGap) -> dict[str, Any]:
    newest = gap.newest
    return {
        "delivery_id": gap.guid,
        "event": newest.event,
        "action": newest.action,
        "sent_at": gap.first_at,
        "attempts": len(gap.attempts),
        "answer": newest.status or None,
    }


def _show(context: CliContext, result: RepairResult, *, is_dry_run: bool) -> None:
    columns: Columns = {
        "hook": "hook",
        "since": lambda hook: instant(hook.since),
        "listed": "listed",
        "missing": lambda hook: len(hook.gaps),
        "failed": "failed",
        "asked again": "asked",
        "arrived": "arrived",
    }
    empty = f"No webhook could be compared; GitHub keeps deliveries for {KEPT_FOR.days} days."
    context.write_list(result.hooks, columns, as_json=False, empty=empty)
    for hook in result.hooks:
        if is_dry_run:
            _list_gaps(hook)
        if hook.error:
            write_labelled("warning", f"{hook.hook}: {hook.error}", color="yellow")
            write_line(f"  {hook.hint}", err=True)
    for unseen in result.unseen:
        write_labelled("warning", f"{unseen.name}: {unseen.reason}", color="yellow")
        write_line(f"  {unseen.hint}", err=True)


def _list_gaps(hook: HookRepair) -> None:
    for gap in hook.gaps[:_SHOWN]:
        name = ".".join(filter(None, (gap.newest.event, gap.newest.action)))
        answer = f"answered {gap.newest.status}" if gap.newest.status else "no answer"
        write_line(f"  {hook.hook}: {gap.guid} {name}, sent {instant(gap.first_at)}, {answer}")
    if len(hook.gaps) > _SHOWN:
        write_line(f"  and {len(hook.gaps) - _SHOWN} more")
