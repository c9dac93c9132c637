"""`squire webhooks filters`: the rules that filter deliveries, what they did, and what others would do."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, limit_option, with_context
from squire_pipelines.cli.delivery_options import event_of
from squire_pipelines.cli.delivery_queries import DeliveryFilter
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import MOMENT
from squire_pipelines.cli.stored_deliveries import body_of, newest_deliveries
from squire_pipelines.domain.delivery_filters import OWN_RULE, DeliveryRule
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import DeliveryError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries
from squire_pipelines.settings.model import load_settings
from squire_pipelines.terminal.output import write_line
from squire_pipelines.webhooks.filter_trial import FilterTrial, StoredDelivery, try_rules
from squire_pipelines.webhooks.filtering import DeliveryJudge, judge_of

_MOST = 20_000


@command(
    "filters",
    examples=(
        "squire webhooks filters",
        "squire webhooks filters --dry-run --since 2d",
        "squire webhooks filters --dry-run --file ./filters.toml --json",
    ),
)
@click.option("--dry-run", is_flag=True, help="Show what the rules would do with the deliveries that are stored.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the rules of this file, which has tables [[webhooks.filters]]; needs --dry-run.",
)
@click.option("--since", type=MOMENT, metavar="TIME", help="Judge what came at this time or later; else all.")
@limit_option(_MOST, most=100_000)
@json_option
@with_context
def filters(
    context: CliContext, file: Path | None, since: datetime | None, limit: int, *, dry_run: bool, as_json: bool
) -> None:
    """List the rules of the settings in their order, and how many of the stored deliveries each filtered.

    With --dry-run, the stored deliveries are judged again, the newest first, by these rules or by those of a file: how
    many each rule is the first to match, how many of these did something when they came, and examples. Nothing is
    changed.
    """
    if not dry_run:
        if file is not None or since is not None:
            raise click.UsageError("--file and --since go with --dry-run")
        _list(context, as_json=as_json)
        return
    judge = judge_of(context.settings)
    if file is not None:
        judge = replace(judge, rules=tuple(rule.rule for rule in load_settings(file).webhooks.filters))
    trial = try_rules(judge, _stored(context.ledger, since, limit), watched=context.settings.repositories)
    if as_json:
        emit_json(trial)
    else:
        _write_trial(context, trial)


def _list(context: CliContext, *, as_json: bool) -> None:
    judge = judge_of(context.settings)
    row = deliveries.c
    count = select(row.filtered_by, func.count(), func.max(row.received_at))
    with context.ledger.read() as tx:
        counts = {
            name: (number, last)
            for name, number, last in tx.execute(
                count.where(row.filtered_by.is_not(None)).group_by(row.filtered_by)
            ).all()
        }
    present = [(OWN_RULE, "filters", _own_words(judge))]
    present += [(rule.name, "keeps" if rule.keep else "filters", _words(rule)) for rule in judge.rules]
    names = {name for name, _, _ in present}
    present += [(name, "gone", "a rule that the settings have no more") for name in sorted(counts.keys() - names)]
    rows = [
        {"name": name, "does": does, "matches": matched, "filtered": counts.get(name, (0, None))[0],
         "last_at": counts.get(name, (0, None))[1]}
        for name, does, matched in present
    ]  # fmt: skip
    columns: Columns = {
        "rule": "name",
        "does": "does",
        "matches": "matches",
        "filtered": lambda row: "" if row["does"] == "keeps" else row["filtered"],
        "last": "last_at",
    }
    context.write_list(rows, columns, as_json=as_json, empty="", wrap=("matches",))


def _own_words(judge: DeliveryJudge) -> str:
    by = f"of {judge.own.login}" if judge.own.login else "with our mark"
    return f"comments {by}, and other echoes of our own writing"


def _words(rule: DeliveryRule) -> str:
    """Return what a rule matches, as people read it."""
    lists = ("sources", "repositories", "senders", "events", "actions", "branches", "paths", "labels")
    words = [f"{name}: {', '.join(getattr(rule, name))}" for name in lists if getattr(rule, name)]
    if rule.bots is not None:
        words.append("bots alone" if rule.bots else "no bots")
    return "; ".join(words)


def _stored(ledger: Ledger, since: datetime | None, most: int) -> Iterator[StoredDelivery]:
    for row in newest_deliveries(ledger, DeliveryFilter(sent=True, since=since), most=most):
        try:
            body = body_of(row)
        except DeliveryError:
            body = b""  # which no delivery has, so that it is counted among those that cannot be read
        names = ("id", "source", "event", "action", "repository", "sender", "filtered_by", "effects")
        yield StoredDelivery(**{name: row[name] for name in names}, body=body)


def _write_trial(context: CliContext, trial: FilterTrial) -> None:
    columns: Columns = {
        "rule": "name",
        "does": lambda rule: "keeps" if rule.keep else "filters",
        "matches": "matched",
        "had effects": "had_effects",
        "examples": lambda rule: "; ".join(map(_example, rule.examples)),
    }
    context.write_list(trial.rules, columns, as_json=False, empty="", wrap=("examples",))
    write_line(
        f"{trial.judged} deliveries that ask for something were judged: {trial.filtered} would be filtered, and "
        f"{trial.were_filtered} were when they came. Others that ask for nothing anyhow: "
        f"{trial.asking_nothing}. Nothing was changed."
    )
    if trial.unread:
        write_line(f"{trial.unread} could not be read: `squire webhooks list --state failed`")


def _example(row: Any) -> str:
    sender = f" by {row['sender']}" if row["sender"] else ""
    return one_line(f"{row['id']} {event_of(row)} {row['repository'] or ''}{sender}", limit=120)
