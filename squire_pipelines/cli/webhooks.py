"""`squire webhooks`: the deliveries in the inbox, and the commands about them, each in a module of its own."""

from typing import Any

import click

from squire_pipelines.cli.context import CliContext, page_options
from squire_pipelines.cli.delivery_options import COLUMNS, delivery_options
from squire_pipelines.cli.delivery_queries import DeliveryFilter, delivery_page
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.domain.deliveries import DeliveryState

_CLI = "squire_pipelines.cli"

webhooks = LazyGroup(
    name="webhooks",
    help="Receive, list, show, follow, count, filter and replay webhook deliveries.",
    lazy={
        "serve": Lazy(f"{_CLI}.webhooks_serve:serve", "Receive deliveries until Ctrl-C."),
        "senders": Lazy(f"{_CLI}.webhooks_senders:senders", "List the senders beside GitHub, and how each stands."),
        "receivers": Lazy(
            f"{_CLI}.webhooks_receivers:receivers", "List the receivers of all machines, and how each stands."
        ),
        "show": Lazy(f"{_CLI}.webhooks_show:show", "Show a delivery with its state, effects, trace and signature."),
        "tail": Lazy(f"{_CLI}.webhooks_tail:tail", "Follow deliveries as they come."),
        "replay": Lazy(
            f"{_CLI}.webhooks_replay:replay_deliveries", "Have stored deliveries read again; no effect is repeated."
        ),
        "stats": Lazy(f"{_CLI}.webhooks_stats:stats", "Show how many came, of what, and how soon they had an effect."),
        "filters": Lazy(f"{_CLI}.webhooks_filters:filters", "List the rules that filter deliveries, or try others."),
        "rotate": Lazy(f"{_CLI}.webhooks_rotate:rotate", "Make another secret, here and at GitHub."),
        "repair": Lazy(f"{_CLI}.webhooks_repair:repair", "Have GitHub send again what is missing here."),
    },
)


@webhooks.command(
    "list",
    examples=(
        "squire webhooks list",
        "squire webhooks list --state failed --since 1d",
        "squire webhooks list --event issues --action opened --repository owner/name --json",
    ),
)
@delivery_options()
@click.option("--pending", is_flag=True, help="Select only those whose collection has not been made yet.")
@page_options()
def list_deliveries(
    context: CliContext,
    limit: int,
    after: int | None,
    state: str | None,
    *,
    pending: bool,
    as_json: bool,
    **names: Any,
) -> None:
    """List webhook deliveries and requests from the command line, newest first.

    One waits until its repository was read and what it says was applied; then it is done, or failed with an error. What
    a rule filtered, and what is about nothing, was closed when it came.
    """
    filters = DeliveryFilter(pending=pending, state=DeliveryState(state) if state else None, **names)
    with context.ledger.read() as tx:
        rows = delivery_page(tx, filters, limit=limit, after=after)
    empty, spare = "There are no deliveries.", ("source", "tries", "sender", "filtered by")
    context.write_list(rows, COLUMNS, as_json=as_json, empty=empty, limit=limit, spare=spare)
