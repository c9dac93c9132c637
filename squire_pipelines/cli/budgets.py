"""`squire budgets`: what work has cost, what is set aside for it, and what the limits leave."""

from dataclasses import asdict

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, limit_option, pass_cli_context, table
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.text import age
from squire_pipelines.domain.budgets import Amount, Limit, Purpose, renewed_at
from squire_pipelines.ledger import budgets as rows

budgets = LazyGroup(name="budgets", help="What work costs, and what it may.")


def _amount(amount: Amount) -> str:
    return f"{amount.usd:.2f} USD, {amount.tokens} tokens"


def _limit(limit: Limit) -> str:
    parts = [f"{limit.usd:.2f} USD" if limit.usd is not None else "", f"{limit.tokens} tokens" if limit.tokens else ""]
    return ", ".join(part for part in parts if part) or "none"


@command("show", examples=("squire budgets show", "squire budgets show --json"))
@json_option
@pass_cli_context
def show(context: CliContext, *, as_json: bool) -> None:
    """Show each limit of a day, a month and a repository, how much is used or reserved, and what waits for it."""
    settings = context.settings
    with context.ledger.read() as tx:
        levels = rows.levels(tx, settings.budgets, settings.budgets_for, settings.repositories)
        held = rows.blocked_by_budget(tx, settings.budgets_for)
        now = tx.now
    cap = settings.budgets.cap(Purpose.ATTEMPT)
    if as_json:
        emit_json(
            {
                "attempt": cap.model_dump(),
                "budgets": [
                    {
                        "scope": level.scope,
                        "repository": level.repository,
                        "used": asdict(level.used),
                        "limit": level.limits.of(level.scope).model_dump(),
                        "share": round(level.share, 4),
                        "used_up": level.is_used_up,
                        "since": level.since,
                        "renewed_at": renewed_at(level.scope, now),
                    }
                    for level in levels
                ],
                "waiting_repositories": {name: str(short) for name, short in held.repositories.items()},
                "waiting_tasks": {name: str(short) for name, short in held.tasks.items()},
            }
        )
        return
    click.echo(f"an attempt may use: {_limit(cap)}")
    if not levels:
        click.echo("No limits for days, months or repositories: docs/guide/budgets.md says how to set them.")
    else:
        cells = [
            (
                level.scope.value,
                level.repository or "all",
                _amount(level.used),
                _limit(level.limits.of(level.scope)),
                f"{level.share:.0%}",
                "used up" if level.is_used_up else "",
                f"{renewed_at(level.scope, now):%Y-%m-%d}",
            )
            for level in levels
        ]
        columns = ("budget", "repository", "used or reserved", "limit", "share", "", "full again")
        context.console.print(table(columns, cells))
    for name, short in (*held.repositories.items(), *held.tasks.items()):
        click.echo(f"{name} waits for {short}")


@command("list", examples=("squire budgets list", "squire budgets list --open", "squire budgets list --json"))
@click.option("--open", "open_only", is_flag=True, help="Only what is under way.")
@limit_option(50)
@json_option
@pass_cli_context
def list_reservations(context: CliContext, limit: int, *, open_only: bool, as_json: bool) -> None:
    """List what was set aside for attempts and plans and what they used, the newest first."""
    with context.ledger.read() as tx:
        found = rows.reservations(tx, open_only=open_only, limit=limit)
        now = tx.now
    if as_json:
        emit_json([asdict(each) for each in found])
        return
    if not found:
        click.echo("Nothing was set aside yet.")
        return
    cells = [
        (
            each.id,
            each.repository,
            each.state,
            _amount(each.reserved),
            _amount(each.spent),
            each.spent_requests,
            age(each.opened_at, now),
        )
        for each in found
    ]
    context.console.print(table(("for", "repository", "state", "reserved", "spent", "calls", "age"), cells))


budgets.add_command(show)
budgets.add_command(list_reservations)
