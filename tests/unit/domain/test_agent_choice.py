"""The rule by which an attempt gets its agent."""

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.agent_choice import (
    AgentChoice,
    AgentOrder,
    ChoiceReason,
    ChoiceRule,
    ChoiceRules,
    TaskTraits,
    choose_agent,
    draw,
    has_next_agent,
    possible_choices,
)

NAMES = st.sampled_from(["opencode", "claude-code", "codex", "cheap", "gemini"])
KINDS = st.sampled_from(["fix_ci", "resolve_issue", "manual"])
LABELS = st.frozensets(st.sampled_from(["hard", "Easy", "docs"]), max_size=2)
MODELS = st.none() | st.sampled_from(["big", "small"])
RULES = st.builds(
    ChoiceRules,
    default=NAMES,
    rules=st.lists(
        st.builds(
            ChoiceRule,
            weights=st.dictionaries(NAMES, st.integers(1, 1000), min_size=1, max_size=3),
            kinds=st.frozensets(KINDS, max_size=2),
            labels=LABELS,
            model=MODELS,
        ),
        max_size=4,
    ).map(tuple),
    fallback=st.lists(NAMES, max_size=3).map(tuple),
    fallback_after=st.integers(1, 10),
)
TASKS = st.builds(
    TaskTraits,
    id=st.text(),
    repository=st.just("a/b"),
    kind=KINDS,
    labels=LABELS,
    order=st.none() | st.builds(AgentOrder, agent=NAMES, model=MODELS),
    agent_failures=st.integers(0, 100),
)


def task(**traits: object) -> TaskTraits:
    return TaskTraits(**{"id": "t1", "repository": "a/b", "kind": "fix_ci", **traits})  # type: ignore[arg-type] # by name


@given(TASKS, RULES)
def test_every_task_gets_one_agent_that_was_checked_before(one: TaskTraits, rules: ChoiceRules) -> None:
    choice = choose_agent(one, rules)
    assert choice == choose_agent(one, rules)
    possible = {(other.agent, other.model) for other in possible_choices(rules)}
    ordered = {(one.order.agent, one.order.model)} if one.order else set()
    assert (choice.agent, choice.model) in possible | ordered
    assert choice.why


@given(TASKS, RULES, NAMES, MODELS)
def test_an_order_wins_over_everything(one: TaskTraits, rules: ChoiceRules, agent: str, model: str | None) -> None:
    ordered = task(
        id=one.id, labels=one.labels, agent_failures=one.agent_failures, order=AgentOrder(agent=agent, model=model)
    )
    choice = choose_agent(ordered, rules)
    assert (choice.agent, choice.named_model, choice.reason) == (agent, model, ChoiceReason.ORDER)


@given(st.text(), st.dictionaries(NAMES, st.integers(1, 1000), min_size=1), st.randoms())
def test_a_draw_does_not_depend_on_the_order_of_the_names(key: str, weights: dict[str, int], random: object) -> None:
    names = list(weights)
    random.shuffle(names)  # type: ignore[attr-defined] # hypothesis' own Random
    assert draw(key, weights) == draw(key, {name: weights[name] for name in names})


@given(st.dictionaries(NAMES, st.integers(1, 5), min_size=2, max_size=4))
def test_weights_hold_in_the_long_run(weights: dict[str, int]) -> None:
    drawn = [draw(f"t{number:014x}", weights) for number in range(4000)]
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        # Five standard deviations of a share of 4000 draws, at most.
        assert abs(drawn.count(name) / len(drawn) - share) < 0.04


def test_the_first_rule_that_fits_wins() -> None:
    rules = ChoiceRules(
        "opencode",
        (
            ChoiceRule({"claude-code": 1}, labels=frozenset({"Hard"}), model="big"),
            ChoiceRule({"codex": 1}, kinds=frozenset({"fix_ci"})),
            ChoiceRule({"gemini": 1}, kinds=frozenset({"fix_ci", "manual"})),
        ),
    )
    hard = choose_agent(task(labels=frozenset({"hard"})), rules)
    assert (hard.agent, hard.named_model, hard.reason, hard.rule, hard.why) == (
        "claude-code",
        "big",
        ChoiceReason.RULE,
        1,
        "rule 1",
    )
    assert choose_agent(task(), rules).why == "rule 2"
    assert choose_agent(task(kind="manual"), rules).agent == "gemini"
    assert choose_agent(task(kind="other"), rules) == AgentChoice(agent="opencode")
    assert choose_agent(task(kind="other"), rules).why == "setting"


def test_a_drawn_agent_says_its_weight() -> None:
    choice = choose_agent(task(), ChoiceRules("opencode", (ChoiceRule({"codex": 3, "claude-code": 1}),)))
    assert choice.reason is ChoiceReason.WEIGHT
    assert choice.why in {"rule 1: weight 3 of 4", "rule 1: weight 1 of 4"}


def test_each_fallback_gets_as_many_failures_and_the_last_one_stays() -> None:
    rules = ChoiceRules("opencode", fallback=("codex", "opencode", "claude-code"), fallback_after=2)
    agents = [choose_agent(task(agent_failures=count), rules).agent for count in range(7)]
    assert agents == ["opencode", "opencode", "codex", "codex", "claude-code", "claude-code", "claude-code"]
    assert choose_agent(task(agent_failures=2), rules).why == "fallback: 2 attempts failed, with opencode at last"
    assert has_next_agent("opencode", 1, rules)
    assert has_next_agent("opencode", 5, rules)
    assert not has_next_agent("opencode", 6, rules)
    assert has_next_agent("gemini", 7, rules)
    assert not has_next_agent("opencode", 1, ChoiceRules("opencode", fallback=("opencode",)))
    assert not has_next_agent("opencode", 0, ChoiceRules("opencode"))
