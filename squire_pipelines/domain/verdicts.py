"""The verdict of a signal: what `authority` judges of its author and text, for each kind of fact. Pure."""

import shlex
from collections.abc import Mapping
from itertools import chain

from squire_pipelines.domain.authority import (
    Author,
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
from squire_pipelines.domain.conversations import judge_conversation, people_in_conversation
from squire_pipelines.domain.failures import is_own_event
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
        case FailedCheck() as check:
            verdict = _judge_check(signal, check, author, provenance, rules)
        case OpenIssue():
            verdict = judge(author, provenance, rules, ref=signal.ref)
        case _:
            verdict = _judge_on_pull_request(signal, author, provenance, rules)
    judged = {"author": author, "provenance": signal.provenance and provenance, "verdict": verdict}
    return judge_conversation(signal.model_copy(update=judged), rules, known)


def _judge_check(
    signal: Signal, check: FailedCheck, author: Author | None, provenance: Provenance, rules: TrustRules
) -> StartVerdict:
    """Judge a failed check: who is behind the branch, and who could have started the run that failed."""
    is_own = is_own_event(check.event, on_default_branch=check.on_default_branch)
    if not check.on_default_branch:
        verdict = _judge_on_pull_request(signal, author, provenance, rules)
        if is_own or not verdict.may_start or verdict.released:
            return verdict
    elif is_own:
        return _OF_DEFAULT_BRANCH
    cause = f"on the event `{check.event}`, which others can cause" if check.event else "on an event that is not known"
    way = f"`squire signals release {shlex.quote(signal.ref)}` lets it start work"
    return StartVerdict(may_start=False, reason=f"its workflow ran {cause}; {way}")


def _judge_on_pull_request(
    signal: Signal, author: Author | None, provenance: Provenance, rules: TrustRules
) -> StartVerdict:
    """Judge what is about a pull request, of which the labels of issues say nothing."""
    return judge(author, provenance, rules.model_copy(update={"issue_labels": ()}), ref=signal.ref)


def awaits_permission(signal: Signal, rules: TrustRules) -> bool:
    """Return whether a signal, or an answer in its thread, lacks GitHub's word on somebody: it is to be asked again."""
    if signal.verdict is None:
        return False
    people = people_in_conversation(signal)
    if not signal.verdict.may_start:
        people = chain(people, people_of(signal.author, signal.provenance or Provenance(), rules))
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
            "version": present.version or signal.version,
            "details": signal.details.model_copy(update={"body": present.body, "unapproved": None}),
        }
    return signal.model_copy(update=update)
