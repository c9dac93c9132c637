"""Verdicts: what several findings decide together, and what the attempt's row keeps of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.change import MAX_FINDINGS, Decision, Finding, Verdict, VerdictRecord

decisions = st.sampled_from(Decision)


def test_decisions_rank_from_allowed_to_refused() -> None:
    assert sorted(Decision, key=lambda decision: decision.rank) == ["allow", "needs_approval", "reject"]


@given(st.lists(decisions, max_size=MAX_FINDINGS + 5))
def test_the_gravest_finding_decides_and_comes_first(listed: list[Decision]) -> None:
    verdict = Verdict.of(Finding("rule", None, number, "is wrong", decision) for number, decision in enumerate(listed))
    ranks = [finding.decision.rank for finding in verdict.findings]
    assert verdict.decision.rank == max((decision.rank for decision in listed), default=0)
    assert ranks == sorted(ranks, reverse=True)
    assert len(ranks) == min(len(listed), MAX_FINDINGS)


def test_one_finding_counts_once() -> None:
    finding = Finding("rule", "a.py", 1, "is wrong", Decision.REJECT)
    assert Verdict.of([finding, finding]).findings == (finding,)


def test_the_canary_is_the_first_of_equally_grave_findings() -> None:
    secret, canary = (Finding(rule, None, None, "is wrong", Decision.REJECT) for rule in ("secret", "canary"))
    assert Verdict.of([secret, canary]).findings == (canary, secret)


def test_a_row_keeps_the_decision_and_the_findings_and_is_read_again() -> None:
    verdict = Verdict.of([Finding("size", "a.py", 3, "is large", Decision.NEEDS_APPROVAL)])
    stored = verdict.record().model_dump(mode="json")
    assert stored == {
        "decision": "needs_approval",
        "findings": [{"rule": "size", "path": "a.py", "line": 3, "message": "is large"}],
    }
    assert VerdictRecord.model_validate(stored) == verdict.record()


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ({"rule": "size", "path": "a.py", "message": "is large"}, "a.py is large"),
        ({"rule": "size", "message": "many files"}, "many files"),
        ({"rule": "size"}, "size"),
    ],
)
def test_a_stored_finding_is_shown_by_what_is_known_of_it(stored: dict[str, str], text: str) -> None:
    assert str(VerdictRecord.model_validate({"findings": [stored]}).findings[0]) == text
