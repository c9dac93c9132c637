"""Reading one delivery in the process at hand: what is no fact is the delivery's error, and nothing is raised."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from squire_pipelines.domain.hook_schemes import HmacScheme, StandardScheme, TokenScheme
from squire_pipelines.errors import SourceError
from squire_pipelines.sources.hook_protocol import HookContext, HookFact
from squire_pipelines.sources.hook_readers import (
    HookBody,
    HookReading,
    HookSender,
    find_reader,
    read_body,
    scheme_of_reader,
)

FACT = HookFact(repository="ACME/api", key="1", title="One")


class ScriptedReader:
    """Answers as a test says."""

    name = "scripted"
    scheme: HmacScheme | StandardScheme | TokenScheme = TokenScheme()

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def read(self, payload: Any, context: HookContext) -> Iterable[HookFact]:  # noqa: ARG002 - the protocol's
        answer: Iterable[HookFact] = self._answer(payload)
        return answer


def read(answer: Callable[[Any], Any], body: bytes = b"{}") -> HookReading:
    sender = HookSender("deploys", "scripted", ("acme/api",), {}, {})
    return read_body(ScriptedReader(answer), sender, HookBody(7, "message", datetime(2026, 3, 1, tzinfo=UTC), body))


def test_a_facts_repository_is_spelled_as_in_the_settings() -> None:
    assert read(lambda _: [FACT]) == HookReading(7, (FACT.model_copy(update={"repository": "acme/api"}),))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _: ["a"], "a str where a HookFact belongs"),
        (lambda _: None, "TypeError"),
        (lambda _: [FACT, FACT], "two facts with the key '1'"),
        (lambda payload: [payload["title"]], "KeyError"),
        (lambda _: (FACT for _ in range(10**9)), "more than 100 facts"),
        (lambda _: [HookFact.model_construct(repository="acme/api", key="a\n", title="A")], "key: "),
        (
            lambda _: [FACT.model_copy(update={"repository": "acme/shop"})],
            "acme/shop is no repository that",
        ),
    ],
)
def test_an_answer_that_is_none_is_the_deliverys_error(answer: Callable[[Any], Any], says: str) -> None:
    reading = read(answer)
    assert reading.facts == ()
    assert says in (reading.error or "")


@pytest.mark.parametrize("body", [b"", b"a=b", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_the_deliverys_error(body: bytes) -> None:
    assert "the body is no JSON" in (read(lambda _: [FACT], body).error or "")


@pytest.mark.parametrize(("name", "kind"), [("generic", "standard"), ("sentry", "hmac")])
def test_the_readers_that_come_with_squire_say_how_their_senders_sign_and_take_no_options(name: str, kind: str) -> None:
    assert scheme_of_reader(name).kind == kind
    sender = HookSender("deploys", name, ("acme/api",), {}, {"colour": "red"})
    reading = read_body(find_reader(name), sender, HookBody(7, "issue", datetime(2026, 3, 1, tzinfo=UTC), b"{}"))
    assert f"the reader {name} has no options: take hooks.deploys.options out" in (reading.error or "")


def test_a_reader_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(SourceError, match="there are: generic, sentry"):
        find_reader("nobody")
