from datetime import timedelta
from typing import Any

import pytest

from squire_pipelines.domain.authority import (
    ActorKind,
    Approval,
    Author,
    Provenance,
    RepositoryPermission,
    SignalDecision,
    TrustRules,
)
from squire_pipelines.domain.refusals import ClosedTask, is_asked_again, issue_task_title
from squire_pipelines.domain.signals import Signal
from tests.support.signal_samples import AT, failed_check, issue, manual

RULES = TrustRules(issue_labels=("squire",))
CLOSED = ClosedTask("t1", issue_task_title(10, "Title 10"), "v1", AT)


def labelled(signal: Signal, label: str = "squire", *, minutes: int = 1, permission: str = "write") -> Signal:
    person = Author(login="ann", kind=ActorKind.PERSON, permission=RepositoryPermission(permission))
    approval = Approval(label=label, by=person, at=AT + timedelta(minutes=minutes))
    return signal.model_copy(update={"provenance": Provenance(approvals=(approval,))})


@pytest.mark.parametrize(
    ("signal", "asked"),
    [
        (issue(), False),
        (issue(version="v2"), False),
        (issue(title="Another title"), True),
        (labelled(issue()), True),
        (labelled(issue(), minutes=0), False),
        (labelled(issue(), permission="triage"), False),
        (labelled(issue(), "bug"), False),
        (failed_check(version="v2"), False),
        (labelled(failed_check(), "squire:release"), True),
        (labelled(failed_check()), False),
        (manual("manual/a"), False),
        (manual("manual/a", version="v2"), True),
    ],
)
def test_a_no_stands_until_somebody_who_may_asks(signal: Signal, *, asked: bool) -> None:
    assert is_asked_again(signal, CLOSED, RULES) is asked


@pytest.mark.parametrize(
    ("decision", "asked"), [({}, True), ({"release": False}, False), ({"at": AT - timedelta(minutes=1)}, False)]
)
def test_a_release_by_command_after_the_close_asks(decision: dict[str, Any], *, asked: bool) -> None:
    values = {"release": True, "by": "cli:ann", "at": AT + timedelta(minutes=1), "text_version": "x", **decision}
    assert is_asked_again(failed_check(), CLOSED, RULES, SignalDecision(**values)) is asked


def test_a_task_of_another_title_says_nothing_about_its_issues_title() -> None:
    by_model = ClosedTask("t1", "Make it right", "v1", AT)
    assert not is_asked_again(issue(title="Another title"), by_model, RULES)
