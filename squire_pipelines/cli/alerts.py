"""`squire alerts`: what is wrong now, whether its messages arrive, and what is not to be sent for a while."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    with_home,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.parameters import DATE, SPAN, tenant_option
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.text import age, counted, instant
from squire_pipelines.domain.alert_rules import AlertRule
from squire_pipelines.domain.alert_steps import AlertState, Silence, can_be_silenced
from squire_pipelines.domain.alert_texts import duration_text, test_message
from squire_pipelines.domain.identity import new_id, new_trace_id
from squire_pipelines.errors import ConfigError, ExitCode, SquireError
from squire_pipelines.health.process_records import process_facts
from squire_pipelines.health.stored_conditions import current_conditions, last_look
from squire_pipelines.ledger import alerts as alert_rows
from squire_pipelines.ledger.store import utc_now
from squire_pipelines.terminal.output import write_line

_MAX_ENDED = 50
_LONGEST = timedelta(days=365)

alerts = LazyGroup(name="alerts", help="Show what is wrong, test who is told, and silence alerts until an end.")


@alerts.command("list", examples=("squire alerts list", "squire alerts list --ended", "squire alerts list --json"))
@click.option("--ended", "with_ended", is_flag=True, help=f"Also list the newest {_MAX_ENDED} that are over.")
@tenant_option
@json_option
@with_home_to_read
def list_alerts(context: CliContext, tenant: str | None, *, with_ended: bool, as_json: bool) -> None:
    """List the alerts that are firing, what is silenced, and how the messages to each target stand.

    With --tenant they are those of its repositories and its budget, without silences and targets of others.
    """
    with context.ledger.read() as tx:
        states = alert_rows.open_alerts(tx)
        ended = alert_rows.ended_alerts(tx, limit=_MAX_ENDED) if with_ended else ()
        silences = alert_rows.silences(tx)
        queues = alert_rows.target_queues(tx)
        now = tx.now
        if tenant is not None:
            states, ended = (alert_rows.of_one_tenant(tx, some, tenant) for some in (states, ended))
            keys = {state.key for state in (*states, *ended)}
            silences = tuple(one for one in silences if one.match in keys)
            queues = tuple(one for one in queues if one.target.startswith(f"{tenant}."))
    looked_at, is_watched = last_look(current_conditions(context.home), utc_now())
    if as_json:
        documents = [_document(state, silences, now) for state in (*states, *ended)]
        looks = {"watched": is_watched, "last_look": looked_at}
        emit_json({"alerts": documents, "silences": [asdict(one) for one in silences], "targets": queues, **looks})
        return
    if not is_watched:
        is_starting = process_facts(context.home.run / "endpoint.pid").is_starting
        write_line(_STARTING if is_starting else _unwatched(looked_at))
    if states or ended:
        _write_alerts(context, (*states, *ended), _Listing(silences, queues, now))
    elif is_watched:
        write_line("Nothing is wrong.")
    for silence in silences:
        reason = f" ({silence.reason})" if silence.reason else ""
        write_line(f"{silence.id}: {silence.match} is silenced until {instant(silence.until)}{reason}")
    for queue in queues:
        sent = f", the last one {age(queue.last_sent_at, now)} ago" if queue.last_sent_at else ""
        write_line(f"{queue.target}: {queue.sent} sent{sent}; {queue.waiting} wait; {queue.dropped} dropped")
        if queue.error:
            write_line(f"  the newest try failed: {queue.error}")
    if tenant is None and not context.settings.alerts.target_names:
        write_line("Nobody is told: set alerts.webhook_url or alerts.apprise, see docs/guide/alerts.md.")


@dataclass(frozen=True, slots=True)
class _Listing:
    """What the words about an alert follow from, beside itself."""

    silences: tuple[Silence, ...]
    queues: tuple[alert_rows.TargetQueue, ...]
    now: datetime

    def words(self, state: AlertState) -> str:
        """Return whether an alert is over or silenced, or whether anybody has got its message."""
        if state.ended_at is not None:
            return "over"
        if any(silence.covers(state.rule, state.key, self.now) for silence in self.silences):
            return "silenced"
        queued_at = state.notified_at
        if queued_at is None:
            return "not sent yet"
        if any(queue.has_got(queued_at) for queue in self.queues):
            return f"sent in {counted(state.notifications, 'message')}"
        return "waits for its target" if any(queue.waiting for queue in self.queues) else "recorded"


_STARTING = "The operator's endpoint is starting, and has not looked yet: ask again in some seconds."


def _unwatched(looked_at: datetime | None) -> str:
    looks = "`squire dev` or `squire metrics serve` looks"
    if looked_at is None:
        return f"Nobody has ever looked at this home, so that it is not known what is wrong: {looks}."
    ago = age(looked_at, utc_now())
    since = f"since {instant(looked_at)}, {ago} ago"
    return f"No operator's endpoint runs, and nobody has looked at this home {since}: {looks}."


def _write_alerts(context: CliContext, states: tuple[AlertState, ...], listing: _Listing) -> None:
    columns: Columns = {
        "alert": "key",
        "severity": "severity",
        "since": "began_at",
        "ended": "ended_at",
        "for": lambda state: duration_text((state.ended_at or listing.now) - state.began_at),
        "state": listing.words,
        "reason": "reason",
        "what to do": "hint",
    }
    context.write_rows(states, columns, spare=("ended", "for"), wrap=("state", "reason", "what to do"))


def _document(state: AlertState, silences: tuple[Silence, ...], now: datetime) -> dict[str, Any]:
    return {**asdict(state), "silenced": any(silence.covers(state.rule, state.key, now) for silence in silences)}


@alerts.command("test", examples=("squire alerts test", "squire alerts test ops", "squire alerts test --json"))
@click.argument("names", metavar="[TARGET]...", nargs=-1)
@json_option
@with_home
def test_targets(context: CliContext, names: tuple[str, ...], *, as_json: bool) -> None:
    """Send a test to each target, or to those that are named, and say how that went. It is not kept in the ledger."""
    from squire_pipelines.alerting.target import targets_of  # noqa: PLC0415 - httpx, for this command alone

    targets = {target.name: target for target in targets_of(context.settings)}
    if not targets:
        raise ConfigError("the settings name no target", hint="set alerts.webhook_url, or alerts.apprise")
    if unknown := [name for name in names if name not in targets]:
        raise ConfigError(f"there is no target {unknown[0]}", hint=f"targets are {', '.join(targets)}")
    results: list[dict[str, str | None]] = []
    for name in names or tuple(targets):
        now = utc_now()
        problem: SquireError | None = None
        try:
            targets[name].send(new_id("msg_", now), test_message(name, now), False)  # noqa: FBT003 - the type's signature
        except SquireError as error:
            problem = error
        results.append(
            {
                "target": name,
                "problem": problem.message if problem else None,
                "hint": problem.hint if problem else None,
            }
        )
    if as_json:
        emit_json(results)
    else:
        for result in results:
            write_line(f"{result['target']}: {result['problem'] or 'took the test'}")
            if result["hint"]:
                write_line(f"  {result['hint']}")
    if any(result["problem"] for result in results):
        raise SystemExit(ExitCode.FAILED)


@alerts.command(
    "silence",
    examples=(
        "squire alerts silence engine_lost --for 2h --reason 'new host'",
        "squire alerts silence 'task_failures:owner/name' --until \"$(date -d 'tomorrow 08:00' -Iseconds)\"",
        "squire alerts silence '*' --for 30min",
    ),
)
@click.argument("match", metavar="RULE|ALERT|*")
@click.option("--for", "duration", type=SPAN, metavar="TIME", help="How long: 30min, 2h, 3d.")
@click.option("--until", type=DATE, metavar="TIME", help="Until when: a date or time of ISO 8601, in UTC by default.")
@click.option("--reason", default="", help="Why, for others who see it.")
@with_home
def silence_alerts(
    context: CliContext, match: str, duration: timedelta | None, until: datetime | None, reason: str
) -> None:
    """Keep alerts from being sent until an end. What still fires then is sent; they are listed meanwhile.

    ALERT is a key as `squire alerts list` shows it. The recovery of what was sent before is sent all the same.
    """
    if not can_be_silenced(match):
        rule = match.partition(":")[0]
        raise click.UsageError(f"there is no rule {rule!r}: name one of {', '.join(AlertRule)}, or '*' for all")
    end = _end(duration, until, utc_now())
    trace_id = new_trace_id()
    with context.ledger.write() as tx:
        silence = alert_rows.add_silence(tx, match, until=end, reason=reason[:500], actor=actor(), trace_id=trace_id)
    write_line(f"{silence.id}: {match} is silenced until {instant(end)}")


@alerts.command(
    "unsilence", examples=("squire alerts unsilence engine_lost", "squire alerts unsilence si0m1e2x3a4m5p6l")
)
@click.argument("names", metavar="SILENCE|RULE|ALERT...", nargs=-1, required=True)
@with_home
def unsilence(context: CliContext, names: tuple[str, ...]) -> None:
    """End silences now: by their ids, or all of a rule or an alert as they were given."""
    with context.ledger.write() as tx:
        ended = alert_rows.end_silences(tx, names, actor=actor(), trace_id=new_trace_id())
    for silence in ended:
        write_line(f"{silence.id}: {silence.match} is sent again")


def _end(duration: timedelta | None, until: datetime | None, now: datetime) -> datetime:
    """Return when a silence ends. Raises UsageError unless one of the two says a moment within a year."""
    if duration is not None and until is not None:
        raise click.UsageError("a silence has one end: give only one of --for and --until")
    if duration is not None:
        length = duration
    elif until is not None:
        length = until - now
    else:
        raise click.UsageError("a silence has an end: give --for or --until")
    if not timedelta() < length <= _LONGEST:
        raise click.UsageError("a silence ends in the future, and within a year")
    return now + length
