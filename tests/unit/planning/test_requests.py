from datetime import timedelta

import pytest

from squire_pipelines.domain.authority import ActorKind, Approval, Author, Provenance
from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.domain.signals import Signal
from squire_pipelines.planning.requests import asked_by, requested_tasks
from squire_pipelines.planning.selection import PlanInputs
from tests.support.signal_samples import AT, HELD, failed_check, finding, issue, manual, open_pr

LABELS = frozenset({"squire"})


def set_by(login: str, *, minutes: int = 0, label: str = "squire", kind: ActorKind = ActorKind.PERSON) -> Approval:
    return Approval(label=label, by=Author(login=login, kind=kind), at=AT + timedelta(minutes=minutes))


def labelled(*approvals: Approval) -> Signal:
    return issue(1).model_copy(update={"provenance": Provenance(approvals=approvals)})


def test_labels_releases_and_files_are_requests_and_other_facts_are_for_a_planner() -> None:
    signals = (failed_check("a"), finding("T1"), open_pr(), issue(1), issue(2, labels=()), manual("m1"))
    inputs = PlanInputs("o/r", signals, DEFAULT_BRANCH, ("squire",), (), max_tasks=1)
    assert {task.signals for task in requested_tasks(inputs)} == {("open_issue:1",), ("manual_task:m1",)}
    assert {task.base_branch for task in requested_tasks(inputs)} == {DEFAULT_BRANCH}


def test_what_is_held_or_answered_is_no_request() -> None:
    signals = (issue(1, verdict=HELD), manual("m1"))
    inputs = PlanInputs("o/r", signals, DEFAULT_BRANCH, ("squire",), {"manual_task:m1"}, max_tasks=9)
    assert requested_tasks(inputs) == ()


@pytest.mark.parametrize(
    ("approvals", "actor"),
    [
        ((), "github:ada"),
        ((set_by("ann"),), "github:ann"),
        ((set_by("ann"), set_by("bob", minutes=1)), "github:bob"),
        ((set_by("ann"), set_by("bob", minutes=1, label="bug")), "github:ann"),
        ((set_by("bot", kind=ActorKind.BOT),), "github:ada"),
        ((Approval(label="Squire", by=None, at=AT),), "github:ada"),
    ],
)
def test_who_set_the_label_last_asked_for_the_issue(approvals: tuple[Approval, ...], actor: str) -> None:
    assert asked_by(labelled(*approvals), LABELS) == actor


def test_a_request_of_an_old_ledger_is_its_authors_and_a_files_is_the_files() -> None:
    assert asked_by(manual("m1"), LABELS) == "cli:ada"
    assert asked_by(manual("manual/x"), LABELS) == "file:ada"
    with pytest.raises(ValueError, match="is no request"):
        asked_by(open_pr(), LABELS)
