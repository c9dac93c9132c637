"""`squire webhooks stats`: how many deliveries came, of what, how soon they had an effect, and what was refused."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_home_to_read
from squire_pipelines.cli.delivery_stats import DeliveryStats, read_stats
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import MOMENT
from squire_pipelines.cli.text import instant
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.terminal.output import write_line

_BAR = 40


@command("stats", examples=("squire webhooks stats", "squire webhooks stats --since 7d --json"))
@click.option(
    "--since", type=MOMENT, metavar="TIME", help="Count what came at this time or later: a date, 7d or 12h; else 1d."
)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Name so many of each kind.")
@json_option
@with_home_to_read
def stats(context: CliContext, since: datetime | None, top: int, *, as_json: bool) -> None:
    """Show figures of the deliveries in the ledger: per hour, event, repository and sender, and how soon they acted.

    Requests to read a repository are not counted. Older ones than `retention.deliveries_days` are in the warehouse
    alone: its views `deliveries_by_hour`, `delivery_effect_times`, `refused_deliveries` and `filtered_deliveries` have
    the same.
    """
    since = since or datetime.now(UTC) - timedelta(days=1)
    with context.ledger.read() as tx:
        figures = read_stats(tx, since=since, most=top)
    if as_json:
        emit_json(figures)
        return
    write_line(f"{figures.received} deliveries since {instant(figures.since)}: {_states(figures)}")
    effects = figures.effects
    if effects.p50_s is not None and effects.p95_s is not None:
        write_line(
            f"received → first effect: p50 {effects.p50_s:.1f} s, p95 {effects.p95_s:.1f} s "
            f"({effects.deliveries} deliveries)"
        )
    most = max(figures.hours.values(), default=0)
    bars = [
        (hour.removesuffix(":00:00Z"), count, "█" * round(_BAR * count / most)) for hour, count in figures.hours.items()
    ]
    _write(context, "hour (UTC)", bars)
    for heading, counts in (
        ("event", figures.events),
        ("repository", figures.repositories),
        ("sender", figures.senders),
        ("filtered by", figures.filtered),
    ):
        _write(context, heading, [(name, count, "") for name, count in counts.items()])
    if figures.refused:
        write_line()
        cells = [
            (row["refused"], row["status"], row["source"], row["reason"], row["last_at"]) for row in figures.refused
        ]
        context.write_table(("refused", "status", "source", "reason", "last"), cells)
    _write_checks(figures)


def _states(figures: DeliveryStats) -> str:
    return ", ".join(f"{count} {state}" for state, count in figures.states.items() if count) or "none"


def _write(context: CliContext, heading: str, rows: list[tuple[str, int, str]]) -> None:
    if rows:
        write_line()
        context.write_table((heading, "deliveries", ""), rows)


def _write_checks(figures: DeliveryStats) -> None:
    write_line()
    for check in figures.checks:
        write_line(one_line(_check(check), limit=500))
    if not figures.checks:
        write_line("What GitHub lists was not compared with what is here yet.")


def _check(check: Mapping[str, object]) -> str:
    """Return what a comparison with GitHub's list showed, as a sentence."""
    at = check["at"]
    head = f"compared with GitHub's list of {check['hook']} {instant(at) if isinstance(at, datetime) else ''}: "
    if check["error"]:
        return f"{head}it could not be asked: {check['error']}"
    return (
        f"{head}{check['listed']} listed, {check['missing']} not here, {check['failed']} of them failed, "
        f"{check['redelivered']} asked for again"
    )
