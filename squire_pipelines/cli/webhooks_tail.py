"""`squire webhooks tail`: deliveries as they come, a line for each."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, emit_json_line, seconds_option, with_home_to_read
from squire_pipelines.cli.delivery_options import delivery_options, event_of
from squire_pipelines.cli.delivery_queries import DeliveryFilter, delivery_page, newer_deliveries, newest_id
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.text import instant
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.ledger.list_pages import Rows
from squire_pipelines.terminal.output import write_line

MAX_PER_LOOK = 500
"""Deliveries that are shown at one look at most; the next look goes on behind them."""

_Read = Callable[[int], Rows]


def rows_as_they_come(read: _Read, newest: int, *, wait: Callable[[], None], rounds: int) -> Iterator[dict[str, Any]]:
    """Yield deliveries in the order of their arrival, each once, for so many rounds.

    Args:
        read: Returns at most `MAX_PER_LOOK` of those that came after the one with this number.
        newest: The number of the last one that is known.
        wait: Called between rounds; after a full look there is no wait.
        rounds: How often to look.
    """
    rows: Rows = []
    for number in range(rounds):
        if number and len(rows) < MAX_PER_LOOK:
            wait()
        rows = read(newest)
        for row in rows:
            newest = row["id"]
            yield row


def line_of(row: dict[str, Any]) -> str:
    """Return a delivery as one line."""
    source = "" if row["source"] == DeliverySource.GITHUB else f" from {row['source']}"
    sender = f" by {row['sender']}" if row["sender"] else ""
    rule = f" by {row['filtered_by']}" if row["filtered_by"] else ""
    error = f": {row['error']}" if row["error"] else ""
    head = f"{instant(row['received_at'])} {row['id']} {event_of(row)}{source}"
    return one_line(f"{head} {row['repository'] or '-'}{sender} {row['state']}{rule}{error}", limit=500)


@command("tail", examples=("squire webhooks tail", "squire webhooks tail --repository owner/name --event push --json"))
@delivery_options("repository", "event", "action", "sender", "source")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 200),
    default=10,
    show_default=True,
    metavar="N",
    help="Begin with the newest N of those that are there already.",
)
@seconds_option("--interval", 1, "Look this often.", least=0.2, most=3600)
@seconds_option("--timeout", 86400, "End after this time in any case.", most=7 * 86400)
@click.option("--json", "as_json", is_flag=True, help="Write each delivery as an object of JSON, on one line.")
@with_home_to_read
def tail(context: CliContext, /, lines: int, interval: float, timeout: float, *, as_json: bool, **names: Any) -> None:
    """Follow deliveries as they come, until Ctrl-C.

    Each is shown once, in the state that it has then: what was just stored waits, and what a rule filters says so.
    """
    filters = DeliveryFilter(**names)

    def read(newest: int) -> Rows:
        with context.ledger.read() as tx:
            return newer_deliveries(tx, filters, newer_than=newest, limit=MAX_PER_LOOK)

    def write(row: dict[str, Any]) -> None:
        if as_json:
            emit_json_line(row)
        else:
            write_line(line_of(row))

    with context.ledger.read() as tx:
        newest = newest_id(tx)
        known = delivery_page(tx, filters, limit=lines) if lines else []
    rounds = max(1, round(timeout / interval))
    try:
        for row in reversed(known):
            write(row)
        for row in rows_as_they_come(read, newest, wait=lambda: time.sleep(interval), rounds=rounds):
            write(row)
    except KeyboardInterrupt:
        return
