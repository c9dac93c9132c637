"""What a plan leaves out and why: facts that need no task or may start none, and tasks that are not in it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.covered import CoveredBy, CoveredFact
from squire_pipelines.domain.signals import OpenPullRequest
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.planning.selection import ANSWERED, HELD, NOT_CHOSEN, PlanInputs, all_left_out


class Reason(StrEnum):
    """Why something is left out. Those of a planned task are `LeftOutReason`, by the same words."""

    COVERED = "covered"
    CLOSED_BEFORE = "closed_before"
    HELD = "held"
    NOT_CHOSEN = "not_chosen"
    NOT_PLANNABLE = "not_plannable"
    NOT_PLANNED = "not_planned"
    MADE_BEFORE = "made_before"


_NOT_PLANNED = "the planner was offered it, and made no task of it; the plan's notes may say why"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that becomes no task: a signal by its ref or a planned task by its key, and why."""

    name: str
    title: str
    reason: str
    message: str


def left_out_of(
    plan: Plan,
    inputs: PlanInputs,
    covered: Mapping[str, CoveredFact],
    *,
    requests: Iterable[TaskSpec] = (),
    made_before: Mapping[str, str] | None = None,
) -> tuple[LeftOut, ...]:
    """Return what is left out, planned tasks first, then signals in their order.

    Args:
        plan: What the planner made.
        inputs: What it was made from; `covered` of it may hold less than the next one.
        covered: Facts that need no task.
        requests: Tasks of what people ask for, which no planner is asked about.
        made_before: The task of the ledger that stands for a task of the plan, by its key.
    """
    return (*tasks_left_out(plan, made_before or {}), *_signals_left_out(plan, inputs, covered, requests))


def tasks_left_out(plan: Plan, made_before: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """Return the planned tasks that are left out; for `made_before` see `left_out_of`."""
    titles = {task.key: task.title for task in plan.tasks}
    repeated = [
        LeftOut(key, titles[key], Reason.MADE_BEFORE, f"the task {task_id} was made of the same before")
        for key, task_id in made_before.items()
    ]
    return (*(LeftOut(task.key, task.title, task.reason.value, task.message) for task in plan.left_out), *repeated)


def _signals_left_out(
    plan: Plan, inputs: PlanInputs, covered: Mapping[str, CoveredFact], requests: Iterable[TaskSpec]
) -> Iterator[LeftOut]:
    reasons = all_left_out(inputs)
    answered = (*(task.signals for task in (*plan.tasks, *requests)), *(task.signals for task in plan.left_out))
    planned = {ref for signals in answered for ref in signals}
    by_ref = {signal.ref: signal for signal in inputs.signals}
    for ref, signal in sorted(by_ref.items()):
        if ref in planned:
            continue
        if (fact := covered.get(ref)) is not None:
            reason = Reason.CLOSED_BEFORE if fact.by is CoveredBy.CLOSED else Reason.COVERED
            yield LeftOut(ref, signal.title, reason, str(fact))
        elif (why := reasons.get(ref)) is not None:
            yield LeftOut(ref, signal.title, _reason_of(why), why)
        elif not isinstance(signal.details, OpenPullRequest):
            yield LeftOut(ref, signal.title, Reason.NOT_PLANNED, _NOT_PLANNED)


def _reason_of(why: str) -> Reason:
    if why == ANSWERED:
        return Reason.COVERED
    if why == NOT_CHOSEN:
        return Reason.NOT_CHOSEN
    return Reason.HELD if why.startswith(HELD) else Reason.NOT_PLANNABLE
