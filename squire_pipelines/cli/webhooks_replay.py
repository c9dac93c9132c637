"""`squire webhooks replay`: stored deliveries are read again, by their ids or by when they came and what they are."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, limit_option, with_context
from squire_pipelines.cli.delivery_lookup import find_delivery
from squire_pipelines.cli.delivery_options import delivery_options, event_of
from squire_pipelines.cli.delivery_queries import DeliveryFilter
from squire_pipelines.cli.failures import fail, note
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.person import actor, confirm
from squire_pipelines.cli.stored_deliveries import body_of, newest_deliveries
from squire_pipelines.cli.stored_signatures import open_verifier
from squire_pipelines.cli.unlock import unlock_store
from squire_pipelines.domain.deliveries import DeliveryState
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import DeliveryError, ExitCode
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.ledger.delivery_repetitions import REPEATED_RULE, first_of_repeated
from squire_pipelines.terminal.output import write_line
from squire_pipelines.webhooks.filtering import judge_of
from squire_pipelines.webhooks.replay import ReplayPlan, ReplayVerdict, plan_replay, replay

ASK_ABOVE = 10
"""More deliveries than so many are replayed only after a yes."""

_SHOWN = 100
_MOST = 1000


@dataclass(frozen=True, slots=True)
class PlannedReplay:
    """A delivery with what replaying it would do."""

    row: dict[str, Any]
    plan: ReplayPlan


@command(
    "replay",
    examples=(
        "squire webhooks replay 17 --dry-run",
        "squire webhooks replay --failed --since 1d",
        "squire webhooks replay --failed --source sentry",
        "squire webhooks replay --since 2026-03-01 --until 2026-03-02 --repository owner/name --dry-run",
    ),
)
@click.argument("names", metavar="[ID]...", nargs=-1)
@delivery_options("repository", "event", "source", "since", "until")
@click.option("--failed", is_flag=True, help="Select only those that failed.")
@limit_option(_MOST, most=10_000)
@click.option("--dry-run", is_flag=True, help="Show what would be read and applied, and which effects are recorded.")
@click.option(
    "--unverified", is_flag=True, help="Replay also those whose signature none of the present secrets has made."
)
@click.option("--yes", is_flag=True, help=f"Do not ask before more than {ASK_ABOVE} are replayed.")
@json_option
@with_context
def replay_deliveries(
    context: CliContext,
    /,
    names: tuple[str, ...],
    limit: int,
    *,
    failed: bool,
    dry_run: bool,
    unverified: bool,
    yes: bool,
    as_json: bool,
    **selection: Any,
) -> None:
    """Have stored deliveries read again: their repositories are read, and what they say is applied.

    What a delivery did is recorded with it and is not repeated: one that was done changes nothing, and the command says
    so. Its signature is verified again with the secrets that there are now, and the rules of the settings are asked
    again. Each replay is in the audit trail. Exit codes: 1 where one is not there or was changed meanwhile, 5 where a
    signature does not hold.
    """
    is_range = failed or any(value is not None for value in selection.values())
    if bool(names) == is_range:
        raise click.UsageError("name deliveries by their ids, or select them by --since, --failed and the like")
    unlock_store(context, context.settings.secret_sources)
    state = DeliveryState.FAILED if failed else None
    if names:
        rows = _named(context, names)
    else:
        filters = DeliveryFilter(state=state, sent=True, **selection)
        rows = newest_deliveries(context.ledger, filters, most=limit)
    planned = list(_planned(context, rows, unverified=unverified))[::-1]
    due = [one for one in planned if one.plan.verdict is ReplayVerdict.REPLAY]
    if due and not dry_run:
        if len(due) > ASK_ABOVE and not yes:
            confirm(f"replay {len(due)} deliveries", hint="name them, or add --yes")
        changed = replay(context.ledger, [one.plan for one in due], actor=actor(), unverified=unverified)
        planned = [_after(one, changed) for one in planned]
    _show(context, planned, dry_run=dry_run, as_json=as_json)
    if len(planned) == limit and not names:
        note(f"only the newest {limit} were looked at: go on with --until, or raise --limit")
    _exit_for(planned)


def _named(context: CliContext, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the named deliveries, the last one first, each once. Raises NotFoundError."""
    seen: set[int] = set()
    for name in reversed(names):
        with context.ledger.read() as tx:
            row = find_delivery(context, tx, name)
        if row["id"] not in seen:
            seen.add(row["id"])
            yield row


def _planned(context: CliContext, rows: Iterator[dict[str, Any]], *, unverified: bool) -> Iterator[PlannedReplay]:
    judge, watched, verify = judge_of(context.settings), context.settings.repositories, open_verifier(context)
    for row in rows:
        with context.ledger.read() as tx:
            effects = effects_of(tx, [row["id"]])
            repeats = first_of_repeated(tx, row["id"]) if row["filtered_by"] == REPEATED_RULE else None
        try:
            body = body_of(row)
        except DeliveryError as error:
            plan = ReplayPlan(row["id"], ReplayVerdict.REFUSED, error.message, recorded=effects)
        else:
            plan = plan_replay(
                row,
                body,
                effects,
                signature=verify(row, body),
                judge=judge,
                watched=watched,
                unverified=unverified,
                repeats=repeats,
            )
        del row["body"]  # of thousands, only what is shown stays in memory
        yield PlannedReplay(row, plan)


def _after(one: PlannedReplay, changed: tuple[int, ...]) -> PlannedReplay:
    if one.plan.id not in changed:
        return one
    reason = "somebody has changed it since it was looked at: look again"
    return PlannedReplay(one.row, ReplayPlan(one.plan.id, ReplayVerdict.CHANGED, reason))


def _show(context: CliContext, planned: list[PlannedReplay], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        names = ("id", "delivery_id", "event", "action", "repository", "received_at", "state")
        emit_json(
            [
                {
                    **{name: one.row[name] for name in names},
                    "verdict": one.plan.verdict,
                    "reason": one.plan.reason,
                    "reads": one.plan.reads,
                    "applies": one.plan.applies,
                    "recorded": one.plan.recorded,
                }
                for one in planned
            ]
        )
        return
    shown = planned if len(planned) <= ASK_ABOVE else [one for one in planned if one.plan.verdict not in _QUIET]
    if shown:
        context.write_list(
            shown[:_SHOWN], _COLUMNS, as_json=False, empty="", spare=("is recorded", "state"), wrap=("why",)
        )
    if len(shown) > _SHOWN:
        write_line(f"… and {len(shown) - _SHOWN} more; --json has all")
    write_line(_summary(planned, dry_run=dry_run))


_QUIET = frozenset({ReplayVerdict.NOTHING, ReplayVerdict.WAITS})
_COLUMNS: Columns = {
    "id": lambda one: one.plan.id,
    "event": lambda one: event_of(one.row),
    "repository": lambda one: one.row["repository"],
    "state": lambda one: one.row["state"],
    "verdict": lambda one: one.plan.verdict.value,
    "why": lambda one: one.plan.reason,
    "reads": lambda one: one.plan.reads,
    "applies": lambda one: "; ".join(one.plan.applies),
    "is recorded": lambda one: _recorded(one.plan),
}


def _recorded(plan: ReplayPlan) -> str:
    return one_line("; ".join(f"{effect.effect} {effect.subject}" for effect in plan.recorded), limit=300)


def _summary(planned: list[PlannedReplay], *, dry_run: bool) -> str:
    """Return what all of it comes to, in one line."""
    if not planned:
        return "No delivery matches, and nothing was changed."
    counts = Counter(one.plan.verdict for one in planned)
    words = {
        ReplayVerdict.REPLAY: "to be read again" if dry_run else "read again with Squire's next look",
        ReplayVerdict.NOTHING: "with nothing left to do",
        ReplayVerdict.WAITS: "waiting already",
        ReplayVerdict.FILTERED: "filtered",
        ReplayVerdict.REFUSED: "refused",
        ReplayVerdict.CHANGED: "changed meanwhile",
    }
    text = ", ".join(f"{counts[verdict]} {phrase}" for verdict, phrase in words.items() if counts[verdict])
    noun = "delivery" if len(planned) == 1 else "deliveries"
    unchanged = dry_run or not counts[ReplayVerdict.REPLAY]
    return f"{len(planned)} {noun}: {text}." + (" Nothing was changed." if unchanged else "")


def _exit_for(planned: list[PlannedReplay]) -> None:
    verdicts = {one.plan.verdict for one in planned}
    if ReplayVerdict.CHANGED in verdicts:
        raise SystemExit(ExitCode.FAILED)
    refused = [one.plan for one in planned if one.plan.verdict is ReplayVerdict.REFUSED]
    if refused:
        more = f", and {len(refused) - 1} more are not" if len(refused) > 1 else ""
        fail(f"delivery {refused[0].id} is not replayed{more}: {refused[0].reason}", _REFUSED_HINT)
        raise SystemExit(ExitCode.REFUSED)


_REFUSED_HINT = "`squire webhooks show ID --body` shows it; --unverified replays one whose signature does not hold"
