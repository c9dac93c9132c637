"""What a sender of one's own may write."""

from datetime import UTC, datetime
from typing import Any

import pytest

from squire_pipelines.sources.generic_hook import GenericHook
from squire_pipelines.sources.hook_protocol import HookContext, HookFact

CONTEXT = HookContext("deploys", "message", datetime(2026, 3, 1, tzinfo=UTC), ("acme/api",), {"shop": "acme/api"})
FACT = {"repository": "acme/api", "key": "rollback-7", "title": "The release 7 was rolled back", "body": "It leaks."}


def read(payload: Any) -> list[HookFact]:
    return list(GenericHook().read(payload, CONTEXT))


@pytest.mark.parametrize(
    "payload",
    [FACT, {"type": "fact.opened", "timestamp": "2026-03-01T00:00:00Z", "data": FACT}, [FACT], {"data": [FACT]}],
)
def test_a_fact_stands_alone_below_data_or_in_a_list(payload: Any) -> None:
    assert read(payload) == [HookFact.model_validate(FACT)]


def test_a_senders_name_stands_for_a_repository_and_what_is_unknown_is_passed_over() -> None:
    (fact,) = read(FACT | {"repository": "shop", "colour": "red", "severity": None, "state": "closed", "title": ""})
    assert (fact.repository, fact.state, fact.severity) == ("acme/api", "closed", "")


def test_what_is_too_long_is_cut() -> None:
    (fact,) = read(FACT | {"title": "t" * 1000, "body": "b" * 100_000})
    assert (len(fact.title), len(fact.body)) == (300, 20_000)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        3,
        [3],
        {},
        {"data": 3},
        FACT | {"key": ""},
        FACT | {"key": "a b"},
        FACT | {"title": " "},
        FACT | {"state": "broken"},
        FACT | {"url": "javascript:alert(1)"},
        FACT | {"repository": "nowhere"},
        FACT | {"body": 3},
    ],
)
def test_what_is_no_fact_is_refused(payload: Any) -> None:
    with pytest.raises(ValueError, match=r"fact|Fact"):
        read(payload)
