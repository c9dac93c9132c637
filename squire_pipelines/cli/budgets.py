"""`squire budgets`: what work has cost, what is reserved for it, and what the limits leave."""

from dataclasses import asdict

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    limit_option,
    with_home_to_read,
)
from squire_pipelines.cli.cost_text import stated_text
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import tenant_option
from squire_pipelines.cli.text import age
from squire_pipelines.domain.budgets import Amount, Limit, Purpose, month_of, renewed_at, scope_words
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.ledger import budgets as budget_rows
from squire_pipelines.ledger.breakers import attempts_today, held_tasks
from squire_pipelines.ledger.model_calls import costs_by_provider
from squire_pipelines.ledger.provider_budgets import used_today
from squire_pipelines.settings.provider_uses import providers_with_day_limits
from squire_pipelines.terminal.output import write_line

budgets = LazyGroup(name="budgets", help="Show what work costs, and what it may cost.")


def _amount(amount: Amount) -> str:
    return f"{amount.usd:.2f} USD, {amount.tokens} tokens"


def _limit(limit: Limit) -> str:
    parts = [f"{limit.usd:.2f} USD" if limit.usd is not None else "", f"{limit.tokens} tokens" if limit.tokens else ""]
    return ", ".join(part for part in parts if part) or "none"


@budgets.command("show", examples=("squire budgets show", "squire budgets show --json"))
@tenant_option
@json_option
@with_home_to_read
def show(context: CliContext, tenant: str | None, *, as_json: bool) -> None:
    """Show each limit of a day, a month, a repository and a provider, what is used or reserved, and what waits."""
    settings = context.settings
    of_repositories = repository_settings(context.ledger, settings)
    own = of_repositories.of_all
    with context.ledger.read() as tx:
        levels = budget_rows.levels(tx, settings.budgets, own.budgets_for, settings.repositories)
        if tenant is not None:  # those that limit all are its limits too
            names = {name for name in settings.repositories if settings.tenant_of(name) == tenant}
            levels = tuple(level for level in levels if level.tenant in {None, tenant})
            levels = tuple(level for level in levels if level.repository is None or level.repository in names)
        blocks = budget_rows.blocked_by_budget(tx, own.budgets_for, tenant=tenant)
        day_limits = providers_with_day_limits(settings)
        providers = {name: (used_today(tx, name), usd) for name, usd in day_limits.items()}
        now = tx.now
        today, tripped_tasks = attempts_today(tx), held_tasks(tx, of_repositories.queue_rules_of, tenant=tenant)
        stating = costs_by_provider(tx, month_of(now), tenant=tenant)
    cap = settings.budgets.cap(Purpose.ATTEMPT)
    breaker = settings.dispatch.breaker
    if as_json:
        budgets_now = [
            {
                "scope": level.scope,
                "repository": level.repository,
                "tenant": level.tenant,
                "used": asdict(level.used),
                "limit": level.limits.of(level.scope).model_dump(),
                "share": round(level.share, 4),
                "used_up": level.is_used_up,
                "since": level.since,
                "renewed_at": renewed_at(level.scope, now),
            }
            for level in levels
        ]
        waiting = {
            "waiting_repositories": {name: str(shortage) for name, shortage in blocks.repositories.items()},
            "waiting_tasks": {name: str(shortage) for name, shortage in blocks.tasks.items()},
        }
        of_providers = {name: {"used_usd": used, "usd_per_day": usd} for name, (used, usd) in providers.items()}
        waiting["held_tasks"] = {name: str(trip) for name, trip in tripped_tasks.items()}
        breakers = {**asdict(breaker), "attempts_today": today}
        emit_json(
            {
                "breakers": breakers,
                "attempt": cap,
                "budgets": budgets_now,
                "providers": of_providers,
                "stated_costs": stating,
                **waiting,
            }
        )
        return
    write_line(f"An attempt may use: {_limit(cap)}.")
    if levels:
        columns: Columns = {
            "budget": lambda level: scope_words(level.scope),
            "repository": lambda level: level.repository or (f"all of {level.tenant}" if level.tenant else "all"),
            "used or reserved": lambda level: _amount(level.used),
            "limit": lambda level: _limit(level.limits.of(level.scope)),
            "share": lambda level: f"{level.share:.0%}",
            "": lambda level: "used up" if level.is_used_up else "",
            "full again": lambda level: f"{renewed_at(level.scope, now):%Y-%m-%d}",
        }
        context.write_rows(levels, columns, spare=("full again", "share"))
    else:
        write_line("No day, month or repository has a limit: docs/guide/budgets.md says how to set one.")
    for name, (used, usd) in providers.items():
        write_line(f"The provider {name} may cost {usd:.2f} USD a day; {used:.2f} USD are used or reserved today.")
    for name, costs in stating.items():
        write_line(f"Calls to the provider {name} this month: {stated_text(costs)}.")
    write_line(
        f"Breakers: {breaker.task} attempts at a task, {breaker.issue} at an issue or pull request, "
        f"{breaker.day} a day ({today} today)."
    )
    for name, trip in tripped_tasks.items():
        write_line(f"{name} waits for {trip}")
    for name, shortage in (*blocks.repositories.items(), *blocks.tasks.items()):
        write_line(f"{name} waits for {shortage}")


@budgets.command("list", examples=("squire budgets list", "squire budgets list --open", "squire budgets list --json"))
@click.option("--open", "open_only", is_flag=True, help="Select only what is reserved for work under way.")
@tenant_option
@limit_option(50)
@json_option
@with_home_to_read
def list_reservations(context: CliContext, tenant: str | None, limit: int, *, open_only: bool, as_json: bool) -> None:
    """List what was reserved for attempts and plans and what they used, newest first."""
    with context.ledger.read() as tx:
        rows = budget_rows.reservations(tx, open_only=open_only, tenant=tenant, limit=limit)
        now = tx.now
    columns: Columns = {
        "for": "id",
        "repository": "repository",
        "state": "state",
        "reserved": lambda row: _amount(row.reserved),
        "spent": lambda row: _amount(row.spent),
        "calls": "spent_requests",
        "age": lambda row: age(row.opened_at, now),
    }
    context.write_list(rows, columns, as_json=as_json, empty="Nothing was reserved yet.", spare=("calls", "repository"))
