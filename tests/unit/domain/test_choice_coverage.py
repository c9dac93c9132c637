"""A rule for agents that never applies is told by what takes its tasks; one that may apply is not."""

from itertools import chain, combinations

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.agent_choice import ChoiceRule, ChoiceRules, TaskTraits, choose_agent
from squire_pipelines.domain.choice_coverage import why_never
from squire_pipelines.domain.filters import SignalFilters
from squire_pipelines.domain.tasks import TaskKind

LABELS = ("x", "y", "Z")
ONE = {"codex": 1}


def rule(kinds: str = "", labels: str = "") -> ChoiceRule:
    return ChoiceRule(ONE, frozenset(kinds.split()), frozenset(labels.split()))


def test_an_earlier_rule_that_takes_all_is_named() -> None:
    assert why_never([rule("fix_ci"), rule("fix_ci", "x")], 1, ()) == (
        "every task that it fits is taken by the earlier rule 1"
    )
    both = [rule("fix_ci", "x"), rule("fix_ci", "Y"), rule("fix_ci", "y X")]
    assert str(why_never(both, 2, ())).endswith("the earlier rules 1, 2")
    assert why_never([rule("fix_ci", "x"), rule("fix_ci")], 1, ()) is None


def test_what_the_filters_leave_out_of_every_repository_is_told() -> None:
    ignored, others = SignalFilters(ignore_labels=("X",)), SignalFilters()
    assert "filters.ignore_labels" in str(why_never([rule("", "x")], 0, [ignored]))
    assert why_never([rule("", "x")], 0, [ignored, others]) is None
    assert why_never([rule("", "x y")], 0, [ignored]) is None
    unread = SignalFilters(sources=("open_issues",))
    assert "filters.sources" in str(why_never([rule("fix_ci address_review")], 0, [unread]))
    assert why_never([rule("fix_ci manual")], 0, [unread]) is None


RULES = st.lists(
    st.builds(
        lambda kinds, labels: ChoiceRule(ONE, kinds, labels),
        st.frozensets(st.sampled_from(TaskKind), max_size=3),
        st.frozensets(st.sampled_from(LABELS), max_size=2),
    ),
    min_size=1,
    max_size=5,
)


@given(RULES)
def test_a_rule_never_applies_exactly_when_no_task_is_given_to_it(rules: list[ChoiceRule]) -> None:
    sets = chain.from_iterable(combinations(LABELS, size) for size in range(len(LABELS) + 1))
    tasks = [TaskTraits("t", "a/b", kind, frozenset(labels)) for labels in sets for kind in TaskKind]
    numbers = {choose_agent(task, ChoiceRules("opencode", tuple(rules))).rule for task in tasks}
    never = {index + 1 for index in range(len(rules)) if why_never(rules, index, [SignalFilters()]) is not None}
    assert never == {number for number in range(1, len(rules) + 1) if number not in numbers}
