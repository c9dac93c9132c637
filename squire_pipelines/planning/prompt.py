"""What the model is asked: facts as quoted data, in the places of the prompt's files. Pure."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice

from squire_pipelines.domain.evidence import beside_body, parts_of
from squire_pipelines.domain.group_members import GroupMember
from squire_pipelines.domain.plans import PlanFinding
from squire_pipelines.domain.signals import ManualTask, OpenPullRequest, Signal
from squire_pipelines.domain.text import shorten
from squire_pipelines.planning.plan_context import SAMPLE_CONTEXT, PlanContext
from squire_pipelines.planning.prompt_files import PromptFiles
from squire_pipelines.planning.quoting import quote, without_marks
from squire_pipelines.planning.selection import Candidate, PlanInputs, Selection
from squire_pipelines.sections.goals import MAX_GOALS_CHARS

MAX_SIGNALS = 150
MAX_TEXT_CHARS = 3_000
MAX_BACKGROUND = 50
MAX_WITH_EVIDENCE = 30
"""Of so many signals the model sees the evidence too; agents get that of every signal which they work on."""

_LOG_CHARS = 2_500
_PARTS = (2, 4, 8, 16, 32, 64, 128)


def describe(
    inputs: PlanInputs,
    selection: Selection,
    prompts: PromptFiles,
    *,
    goals: str,
    context: PlanContext | None = None,
    limit_chars: int | None = None,
) -> str:
    """Return the question to the model about one repository, or about several.

    With `limit_chars` fewer signals are shown, with shorter texts, until it is as short; one signal is always shown.
    """
    question = _describe(inputs, selection, prompts, goals=goals, context=context, part=1)
    for part in _PARTS:
        if limit_chars is None or len(question) <= limit_chars:
            break
        question = _describe(inputs, selection, prompts, goals=goals, context=context, part=part)
    return question


def _describe(
    inputs: PlanInputs,
    selection: Selection,
    prompts: PromptFiles,
    *,
    goals: str,
    context: PlanContext | None,
    part: int,
) -> str:
    """Return the question with a part of all that may be shown: 1 for all of it, 2 for the half."""
    shown = selection.candidates[: max(MAX_SIGNALS // part, 1)]
    if inputs.members:
        return _describe_group(inputs, prompts, goals=goals, context=context, part=part)
    signals = [
        _quoted(
            candidate.signal,
            base_branch=candidate.base_branch,
            with_evidence=number < MAX_WITH_EVIDENCE // part,
            limit=3 * MAX_TEXT_CHARS // part,
        )
        for number, candidate in enumerate(shown)
    ]
    background = [_quoted(signal, limit=1_000) for signal in selection.background[: MAX_BACKGROUND // part]]
    if background:
        background.insert(0, "Open pull requests, as background (not to be answered):")
    return prompts.fill(
        {
            "repository": inputs.repository,
            "default_branch": inputs.default_branch or "(none)",
            "max_tasks": str(inputs.max_tasks),
            "max_files": str(inputs.bounds.max_files),
            "max_lines": str(inputs.bounds.max_lines),
            "goals": shorten(goals, MAX_GOALS_CHARS // part) if goals.strip() else "(none)",
            "shown": str(len(shown)),
            "offered": str(len(selection.candidates)),
            "signals": "\n\n".join(signals) or "(none)",
            "background": "\n\n".join(background),
            "context": context.text(context.max_bytes // part) if context is not None else "(not known)",
        }
    )


def _describe_group(
    inputs: PlanInputs, prompts: PromptFiles, *, goals: str, context: PlanContext | None, part: int
) -> str:
    """Return the question about several repositories: what is known of each, and its open pull requests."""
    texts = context.texts(context.max_bytes // part) if context is not None else {}
    members = [
        _member(member, texts.get(member.repository, ""), background_of(member, part * len(inputs.members)))
        for member in inputs.members
    ]
    return prompts.fill_group(
        {
            "group": inputs.repository,
            "max_tasks": str(inputs.max_tasks),
            "max_files": str(inputs.bounds.max_files),
            "max_lines": str(inputs.bounds.max_lines),
            "goals": shorten(goals, MAX_GOALS_CHARS // part),
            "repositories": "\n\n".join(members),
        }
    )


def background_of(member: GroupMember, parts: int) -> tuple[Signal, ...]:
    """Return the open pull requests of a repository that a model sees, where there is room for one of `parts` parts."""
    pulls = (signal for signal in member.signals if isinstance(signal.details, OpenPullRequest))
    return tuple(islice(pulls, max(MAX_BACKGROUND // parts, 1)))


def _member(member: GroupMember, known: str, pulls: Sequence[Signal]) -> str:
    parts = [f"- {member.repository}, default branch {member.default_branch}"]
    if known:
        parts += [f"What is known of {member.repository}:", known]
    if pulls:
        parts += [f"Open pull requests of {member.repository}, as background:"]
        parts += [_quoted(signal, limit=1_000) for signal in pulls]
    return "\n\n".join(parts)


def validation_problems(findings: tuple[PlanFinding, ...]) -> str:
    """Return what is wrong with a plan that failed its checks, a line each."""
    lines = [f"- {f'task {finding.task!r}: ' if finding.task else ''}{finding.message}" for finding in findings[:30]]
    return "\n".join(lines)


def _quoted(
    signal: Signal, *, base_branch: str | None = None, with_evidence: bool = False, limit: int = MAX_TEXT_CHARS
) -> str:
    """Return a signal as data, with who is behind it and what they may do."""
    text = _fact(signal, base_branch=base_branch, with_evidence=with_evidence)
    return quote(text, limit=limit, by=signal.author.login if signal.author is not None else "", may=_authority(signal))


def _authority(signal: Signal) -> str:
    if signal.verdict is None:
        return "a person's own request" if isinstance(signal.details, ManualTask) else "not known"
    return "may give orders here" if signal.verdict.may_start else "may not give orders here"


def _fact(signal: Signal, *, base_branch: str | None = None, with_evidence: bool = False) -> str:
    details = {
        key: shorten(value, MAX_TEXT_CHARS) if isinstance(value, str) else value
        for key, value in signal.details.model_dump(mode="json", exclude={"unapproved"}).items()
    }
    fact = {
        "ref": signal.ref,
        "title": shorten(signal.title, 300),
        "url": signal.url,
        "updated_at": signal.updated_at.isoformat(),
        **({"base_branch": base_branch} if base_branch is not None else {}),
        "details": details,
    }
    if with_evidence and signal.evidence is not None:
        parts = parts_of(beside_body(signal.evidence, with_conversation=True), log_chars=_LOG_CHARS)
        fact["evidence"] = {heading: shorten(text, MAX_TEXT_CHARS) for heading, text in parts}
    # Another spelling of the same JSON, so that no text within looks like the end of its quotation and a new one.
    return without_marks(json.dumps(fact, ensure_ascii=False), r"\u003c")


@lru_cache(maxsize=8)
def prompt_version(prompts: PromptFiles) -> str:
    """Return which prompt a plan was made by: it changes with any word of its files, and with how facts are shown."""
    signal = Signal(
        repository="o/r",
        key="k",
        version="v",
        title="t",
        url="u",
        updated_at=datetime(2000, 1, 1, tzinfo=UTC),
        details=ManualTask(author="a", body="b"),
    )
    inputs = PlanInputs("o/r", (signal,), "b", (), (), max_tasks=1)
    selection = Selection((Candidate(signal, "b"),), background=(signal,), notes=())
    member = GroupMember(repository="o/r", default_branch="b", signals=(signal,))
    context = PlanContext((SAMPLE_CONTEXT,))
    questions = (
        describe(one, selection, prompts, goals="g", context=context)
        for one in (inputs, replace(inputs, members=(member,)))
    )
    problems = validation_problems((PlanFinding("c", "t", "m"),))
    text = "\n".join((prompts.digest, *questions, problems))
    return f"planner-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
