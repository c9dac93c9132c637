"""Who has which secret: what is known of it by marks, and which receiver is named."""

from datetime import UTC, datetime
from typing import Any

import pytest

from squire_pipelines.domain.server_processes import ServerKind, ServerProcess, ServerRole, secret_differences

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NEW, OLD = "webhook-secret", "webhook-secret-old"


def receiver(
    machine: str, *, kind: ServerKind = ServerKind.RECEIVER, is_gone: bool = False, **marks: Any
) -> ServerProcess:
    names = {"new": NEW, "old": OLD, "acme": "acme.webhook-secret"}
    return ServerProcess(
        id=machine,
        kind=kind,
        machine=machine,
        home="/home",
        pid=1,
        version="1",
        role=ServerRole.SERVING,
        problem=None,
        secret_marks={names[name]: mark for name, mark in marks.items()},
        started_at=NOW,
        seen_at=NOW,
        is_gone=is_gone,
    )


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ([receiver("b", new="2", old="1")], []),
        ([receiver("b", new="2")], []),  # it takes what is signed with the new one
        ([receiver("b", new="1")], [("b", NEW, True)]),
        ([receiver("b", new="1", old="2")], []),  # called otherwise, and both are taken
        ([receiver("b", new="3")], [("a", NEW, False), ("b", NEW, False)]),
        ([receiver("b", new="1", is_gone=True)], []),
        ([receiver("b", kind=ServerKind.BOARD)], []),
        ([receiver("b", new="2", acme="9")], [("a", "acme.webhook-secret", False)]),
    ],
)
def test_a_receiver_is_named_that_would_refuse_what_another_one_takes(
    others: list[ServerProcess], named: list[tuple[str, str, bool]]
) -> None:
    differences = secret_differences([receiver("a", new="2", old="1"), *others])
    assert [(one.process.machine, one.name, one.is_old) for one in differences] == named


def test_what_is_wrong_is_said_in_words() -> None:
    texts = [one.text for one in secret_differences([receiver("a", new="2", old="1"), receiver("b", new="1")])]
    assert texts == [
        "the receiver on b:/home still has the old webhook-secret alone, and refuses what is signed with the new one"
    ]
