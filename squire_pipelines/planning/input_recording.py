"""Records what a plan is made from, and makes it the inputs of another plan again. Pure but for the redactor."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from squire_pipelines.domain.plans import SizeBounds
from squire_pipelines.domain.recorded_inputs import RecordedInputs
from squire_pipelines.domain.repository_facts import RepositoryContext
from squire_pipelines.domain.signals import Signal
from squire_pipelines.planning.prompt import MAX_BACKGROUND, MAX_SIGNALS, background_of
from squire_pipelines.planning.selection import PlanInputs, Selection
from squire_pipelines.secrets.redact import process_redactor

MAX_CHARS = 400_000
"""Of all recorded signals of one plan, as JSON, and of what is known of all its repositories."""


def record_inputs(inputs: PlanInputs, selection: Selection) -> RecordedInputs:
    """Return what a planner sees of these inputs: the first signals whole, others without evidence or not at all."""
    candidates = [candidate.signal for candidate in selection.candidates]
    shown = [*candidates[:MAX_SIGNALS], *selection.background[:MAX_BACKGROUND]]
    signals, cut = _within(shown, MAX_CHARS)
    members = []
    for member in inputs.members:
        pulls = background_of(member, len(inputs.members))
        kept, is_cut = _within(pulls, MAX_CHARS // len(inputs.members))
        members.append(member.model_copy(update={"signals": tuple(kept)}).model_dump(mode="json"))
        cut |= is_cut
    redact = process_redactor().redact
    return RecordedInputs.model_validate(
        _redacted(
            {
                "repository": inputs.repository,
                "default_branch": inputs.default_branch,
                "signals": [signal.model_dump(mode="json") for signal in signals],
                "is_whole": not cut and len(shown) == len(candidates) + len(selection.background),
                "issue_labels": list(inputs.issue_labels),
                "protected_paths": list(inputs.protected_paths),
                "max_tasks": inputs.max_tasks,
                "max_files": inputs.bounds.max_files,
                "max_lines": inputs.bounds.max_lines,
                "members": members,
            },
            redact,
        )
    )


def with_facts(
    recorded: RecordedInputs | None, goals: str, contexts: Sequence[RepositoryContext]
) -> RecordedInputs | None:
    """Return recorded inputs with the goals, and with what is known of the repositories, as a model was told them."""
    if recorded is None:
        return None
    redact = process_redactor().redact
    known = (_redacted(context.model_dump(mode="json"), redact) for context in contexts)
    facts = tuple(map(RepositoryContext.model_validate, known))
    kept = tuple(_shortened(context, MAX_CHARS // len(facts)) for context in facts)
    is_whole = recorded.is_whole and kept == facts
    return recorded.model_copy(update={"goals": redact(goals), "contexts": kept, "is_whole": is_whole})


def _shortened(context: RepositoryContext, room: int) -> RepositoryContext:
    """Return a context of about `room` characters as JSON: of a larger one, less of the instructions and folders."""
    code = context.code
    if code is None or len(context.model_dump_json()) <= room:
        return context
    share = room // (4 * max(len(code.instructions), 1))
    files = tuple(file.model_copy(update={"text": file.text[:share], "cut": True}) for file in code.instructions)
    sizes = accumulate(len(line) for line in code.folders)
    folders = tuple(line for line, size in zip(code.folders, sizes, strict=True) if size <= room // 4)
    shorter = code.model_copy(update={"instructions": files, "folders": folders})
    return context.model_copy(update={"code": shorter})


def inputs_again(recorded: RecordedInputs) -> PlanInputs:
    """Return the inputs of a plan that is made from recorded ones: all of their signals may be planned."""
    return PlanInputs(
        recorded.repository,
        recorded.signals,
        recorded.default_branch,
        recorded.issue_labels,
        (),
        recorded.max_tasks,
        bounds=SizeBounds(recorded.max_files, recorded.max_lines),
        protected_paths=recorded.protected_paths,
        members=recorded.members,
    )


def _within(signals: Sequence[Signal], room: int) -> tuple[list[Signal], bool]:
    """Return the first signals that have room, without evidence where that is too long, and whether any is cut."""
    kept: list[Signal] = []
    cut = False
    for signal in signals:
        bare = signal.model_copy(update={"evidence": None})
        for candidate in (signal, bare):
            chars = len(candidate.model_dump_json())
            if chars <= room:
                kept.append(candidate)
                room -= chars
                cut |= candidate is not signal and signal.evidence is not None
                break
        else:
            cut = True
    return kept, cut


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a JSON value with each of its texts redacted, before they are written with escapes."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _redacted(part, redact) for name, part in value.items()}
    if isinstance(value, list):
        return [_redacted(part, redact) for part in value]
    return value
