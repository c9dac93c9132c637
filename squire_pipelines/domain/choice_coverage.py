"""Which rules for agents never apply: an earlier rule takes their tasks, or no task is of their kind or label. Pure."""

from collections.abc import Sequence

from squire_pipelines.domain.agent_choice import ChoiceRule
from squire_pipelines.domain.filters import SignalFilters
from squire_pipelines.domain.signals import Source
from squire_pipelines.domain.tasks import TaskKind

_SOURCE_OF = {
    TaskKind.FIX_CI: Source.FAILED_CI,
    TaskKind.ADDRESS_REVIEW: Source.REVIEW_FINDINGS,
    TaskKind.RESOLVE_ISSUE: Source.OPEN_ISSUES,
}


def why_never(rules: Sequence[ChoiceRule], index: int, filters: Sequence[SignalFilters]) -> str | None:
    """Return why the rule at `index` applies to no task, as a whole clause; None when it may apply.

    Args:
        rules: In the order in which they are tried.
        index: From 0.
        filters: Of each repository that has the rules.
    """
    rule = rules[index]
    kinds = rule.kinds or frozenset(TaskKind)
    labels: frozenset[str | None] = frozenset(label.casefold() for label in rule.labels) or frozenset({None})
    before = {
        next((number for number, other in enumerate(rules[:index], 1) if _covers(other, kind, label)), None)
        for kind in kinds
        for label in labels
    }
    if None not in before:
        numbers = sorted(number for number in before if number is not None)
        earlier = f"rule{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        return f"every task that it fits is taken by the earlier {earlier}"
    reasons = [_left_out(rule, one) for one in filters]
    return reasons[0] if reasons and None not in reasons else None


def _covers(rule: ChoiceRule, kind: str, label: str | None) -> bool:
    """Return whether a rule fits every task of this kind that has this label; None stands for a task without any."""
    labels = {name.casefold() for name in rule.labels}
    return (not rule.kinds or kind in rule.kinds) and (not labels or label in labels)


def _left_out(rule: ChoiceRule, filters: SignalFilters) -> str | None:
    ignored = {label.casefold() for label in filters.ignore_labels}
    if rule.labels and all(label.casefold() in ignored for label in rule.labels):
        return f"filters.ignore_labels leave out what has the label {', '.join(sorted(rule.labels))}"
    sources = {_SOURCE_OF.get(TaskKind(kind)) for kind in rule.kinds}
    if filters.sources and sources and None not in sources and not sources.intersection(filters.sources):
        return f"filters.sources leave out what makes tasks of the kind {', '.join(sorted(rule.kinds))}"
    return None
