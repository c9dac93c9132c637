"""`squire signals`: the facts that were seen, and how the readings of their sources ended."""

from collections.abc import Mapping
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, Columns, json_option, limit_option, page_options, with_home_to_read
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.parameters import MOMENT, repository_option, tenant_option
from squire_pipelines.cli.text import age
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.ledger import list_pages
from squire_pipelines.terminal.cells import Link
from squire_pipelines.terminal.output import write_line

_CLI = "squire_pipelines.cli"

signals = LazyGroup(
    name="signals",
    help="Read the repositories, list the signals that were seen in them, and release those that are held.",
    lazy={
        "collect": Lazy(f"{_CLI}.signals_collect:collect", "Read repositories now."),
        "show": Lazy(f"{_CLI}.signals_show:show", "Show a signal: who, what, when, and may it start work."),
        "release": Lazy(f"{_CLI}.signals_decide:release", "Let a signal start work, as its text is now."),
        "hold": Lazy(f"{_CLI}.signals_decide:hold", "Let a signal start no work."),
    },
)


@signals.command(
    "list",
    examples=(
        "squire signals list",
        "squire signals list --kind failed_ci --repository owner/name",
        "squire signals list --held --since 7d",
    ),
)
@repository_option
@tenant_option
@click.option("--kind", type=click.Choice([kind.value for kind in SignalKind]), help="Select only this kind.")
@click.option("--author", metavar="LOGIN", help="Select only what this account wrote, or whose branch it is about.")
@click.option("--held", "only_held", is_flag=True, help="Select only what may start no work.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Select what was seen first at this time or later.")
@click.option("--gone", is_flag=True, help="Include signals that are no longer there.")
@page_options()
def list_signals(
    context: CliContext, /, repository: str | None, after: int | None, limit: int, *, as_json: bool, **filters: Any
) -> None:
    """List signals, the last seen first."""
    tenant = filters.pop("tenant")
    with context.ledger.read() as tx:
        selected = list_pages.SignalFilter(**filters)
        rows = list_pages.signal_page(tx, selected, repository=repository, limit=limit, after=after, tenant=tenant)
        now = tx.now
    columns: Columns = {
        "id": "id",
        "repository": "repository",
        "kind": "kind",
        "key": "key",
        "title": "title",
        "link": lambda row: Link("page", row["url"]),
        "held": lambda row: "held" if _is_held(row) else None,
        "seen": lambda row: age(row["last_seen_at"], now),
        "gone": lambda row: age(row["gone_at"], now),
    }
    context.write_list(rows, columns, as_json=as_json, empty="There are no signals.", limit=limit, spare=("id",))


def _is_held(row: Mapping[str, Any]) -> bool:
    """Return whether a signal is held: an open pull request is background, whoever opened it."""
    return bool(row["kind"] != SignalKind.OPEN_PR and row["verdict"] and not row["verdict"]["may_start"])


@signals.command("collections", examples=("squire signals collections", "squire signals collections --json"))
@repository_option
@tenant_option
@limit_option(200)
@json_option
@with_home_to_read
def list_collections(
    context: CliContext, repository: str | None, tenant: str | None, limit: int, *, as_json: bool
) -> None:
    """List the newest reading of each source of each repository.

    A source that could not be read says why. Its status is `stale` when the last good signals are kept, and `failed`
    when it was never read. A repository that was renamed, archived, replaced or is not shown says what to do.
    """
    with context.ledger.read() as tx:
        rows = list_pages.newest_collections(tx, repository=repository, tenant=tenant, limit=limit)
    columns: Columns = {
        "repository": "repository",
        "source": "source",
        "status": "status",
        "signals": lambda row: f"{row['signals']}{'+' if row['truncated'] else ''}",
        "changed": "changed",
        "read at": "ended_at",
        "error": "error",
    }
    empty = "No source was read yet: `squire run` reads all sources of all repositories."
    context.write_list(rows, columns, as_json=as_json, empty=empty, spare=("changed", "read at"), wrap=("error",))
    if not as_json:
        for message in dict.fromkeys(row["repository_message"] for row in rows if row["repository_message"]):
            write_line(one_line(message, limit=500))
