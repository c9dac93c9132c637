"""The verdict of a signal: what `authority` judges of its author and text, for each kind of fact. Pure."""

from collections.abc import Mapping

from squire_pipelines.domain.authority import (
    KnownPermission,
    Provenance,
    SignalDecision,
    StartVerdict,
    TrustRules,
    decided,
    judge,
    people_of,
    with_permission,
    with_permissions,
)
from squire_pipelines.domain.signals import FailedCheck, ManualTask, OpenIssue, Signal

_OF_DEFAULT_BRANCH = StartVerdict(
    may_start=True, reason="it is about the default branch, which nobody changes who may not write here"
)
_OF_PERSON = StartVerdict(may_start=True, reason="a person's own request, given by command")


def judge_signal(signal: Signal, rules: TrustRules, known: Mapping[str, KnownPermission]) -> Signal:
    """Return the signal with its verdict, before any decision by command.

    Args:
        signal: With its author and what became of its text.
        rules: Of its repository.
        known: What people may do there, by login in one case.
    """
    author = with_permission(signal.author, known)
    provenance = with_permissions(signal.provenance or Provenance(), known)
    match signal.details:
        case ManualTask():
            verdict = _OF_PERSON
        case FailedCheck(on_default_branch=True):
            verdict = _OF_DEFAULT_BRANCH
        case OpenIssue():
            verdict = judge(author, provenance, rules, ref=signal.ref)
        case _:
            # On a pull request the labels of issues say nothing of its remarks.
            of_pull_requests = rules.model_copy(update={"issue_labels": ()})
            verdict = judge(author, provenance, of_pull_requests, ref=signal.ref)
    return signal.model_copy(
        update={"author": author, "provenance": signal.provenance and provenance, "verdict": verdict}
    )


def awaits_permission(signal: Signal, rules: TrustRules) -> bool:
    """Return whether a signal is held for want of GitHub's word on somebody: a later reading is to ask again."""
    if signal.verdict is None or signal.verdict.may_start:
        return False
    people = people_of(signal.author, signal.provenance or Provenance(), rules)
    return any(person.permission is None for person in people)


def apply_decision(signal: Signal, decision: SignalDecision, rules: TrustRules) -> Signal:
    """Return the signal as a person decided by command; as it is when that was about another text.

    What is released is the present text, also of an issue that was changed after it was approved.
    """
    provenance = signal.provenance or Provenance()
    verdict = decided(decision, provenance, rules, text_version=signal.text_version)
    if verdict is None:
        return signal
    update: dict[str, object] = {"verdict": verdict}
    if verdict.may_start and isinstance(signal.details, OpenIssue) and (present := signal.details.unapproved):
        update |= {
            "title": present.title,
            "details": signal.details.model_copy(update={"body": present.body, "unapproved": None}),
        }
    return signal.model_copy(update=update)
