"""How messages read: the worst first, bounded, and nothing in them that a terminal or a chat acts upon."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertNotice, AlertState, NoticeKind
from squire_pipelines.domain.alert_texts import (
    MAX_LISTED,
    AlertMessage,
    dropped_message,
    duration_text,
    inert_line,
    message_of,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATE = AlertState(
    "al1",
    "engine_lost:engine on host",
    "engine_lost",
    "engine on host",
    Severity.CRITICAL,
    "the engine does not answer",
    "start it",
    NOW - timedelta(minutes=5),
    NOW,
)


def test_one_alert_is_named_in_the_title_with_what_to_do_below() -> None:
    message = message_of([AlertNotice(NoticeKind.NEW, STATE)], now=NOW)
    assert message.title == "Squire: critical: engine_lost (engine on host)"
    assert message.body == ("CRITICAL: engine_lost (engine on host): the engine does not answer\nWhat to do: start it")
    assert AlertMessage.from_json(message.as_json()) == message


def test_an_end_says_how_long_it_lasted_and_a_repetition_that_it_still_does() -> None:
    over = message_of([AlertNotice(NoticeKind.OVER, replace(STATE, cleared_at=NOW, ended_at=NOW))], now=NOW)
    assert (over.title, over.body) == (
        "Squire: over: engine_lost (engine on host)",
        "OVER: engine_lost (engine on host), after 5 min",
    )
    assert "CRITICAL (still)" in message_of([AlertNotice(NoticeKind.REPEATED, STATE)], now=NOW).body
    assert "NOT KNOWN" in message_of([AlertNotice(NoticeKind.UNKNOWN, STATE)], now=NOW).body


def test_of_many_the_worst_come_first_and_the_rest_is_counted() -> None:
    warning = AlertNotice(NoticeKind.NEW, replace(STATE, severity=Severity.WARNING, rule="clock_wrong"))
    ended = AlertNotice(NoticeKind.OVER, replace(STATE, rule="disk_full"))
    message = message_of([ended, *[warning] * MAX_LISTED, AlertNotice(NoticeKind.NEW, STATE)], now=NOW)
    assert message.title == f"Squire: {MAX_LISTED + 1} alerts, 1 over"
    assert message.body.startswith("CRITICAL: engine_lost")
    assert "And 2 more" in message.body
    assert len(message.alerts) == MAX_LISTED


def test_what_others_wrote_notifies_nobody_hides_no_link_and_moves_no_cursor() -> None:
    hostile = "@everyone <!channel> [x](http://evil) `code` **b** |\x1b[2Jline\nother\u202e"
    message = message_of([AlertNotice(NoticeKind.NEW, replace(STATE, reason=hostile, hint=hostile))], now=NOW)
    for part in (message.title, message.body):
        assert not set("@<>`*|\x1b\u202e") & set(part)
        assert "](" not in part
    assert inert_line("see `squire status`") == "see \u02cbsquire status\u02cb"  # no quotes, which a shell would take
    assert "https://evil.example/x" in inert_line("see https://evil.example/x")  # as it is, for all to read
    assert len(message.body.splitlines()) == 2
    assert "\x1b" not in str(message.alerts)


def test_what_was_dropped_is_said_with_when_it_was_made() -> None:
    message = dropped_message(30, NOW - timedelta(days=1), NOW, [f"Squire: {index}" for index in range(30)])
    assert message.title == "Squire: 30 messages were not delivered to you"
    assert "between 2026-02-28 12:00 and 2026-03-01 12:00 UTC" in message.body
    assert "And 10 more." in message.body


def test_a_duration_is_in_the_unit_that_fits() -> None:
    lengths = (-5, 30, 119, 120, 7200, 2 * 86_400)
    assert [duration_text(timedelta(seconds=length)) for length in lengths] == [
        "0 s",
        "30 s",
        "119 s",
        "2 min",
        "2 h",
        "2 d",
    ]
