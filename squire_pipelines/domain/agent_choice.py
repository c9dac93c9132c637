"""Which agent an attempt gets, by one rule: an order, else the first rule of the settings that fits, else the default.

Pure: what is known of the task and what the settings say go in, and one choice comes out, for every task.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.frozen import FrozenModel

_HASH_BYTES = 8


class ChoiceReason(StrEnum):
    """By what an agent was chosen."""

    SETTING = "setting"
    RULE = "rule"
    WEIGHT = "weight"
    ORDER = "order"
    FALLBACK = "fallback"


class AgentOrder(FrozenModel):
    """The agent that a person wants for a task: its name in the settings, and a model that is not its usual one."""

    agent: str
    model: str | None = None


class AgentChoice(FrozenModel):
    """The agent that an attempt gets, and why.

    `agent` is its name in the settings, `kind` the adapter of its program. `model` is what it calls; with `names_model`
    the order or the rule says so, and else the agent's own settings. `rule` counts from 1. `detail` is for people.
    """

    agent: str
    kind: str | None = None
    model: str | None = None
    names_model: bool = False
    reason: ChoiceReason = ChoiceReason.SETTING
    rule: int | None = None
    detail: str = ""

    @property
    def why(self) -> str:
        """The reason in a few words, for people."""
        words = f"rule {self.rule}" if self.rule is not None else self.reason.value
        return f"{words}: {self.detail}" if self.detail else words

    @property
    def named_model(self) -> str | None:
        """The model that the order or the rule names; None where the agent's own settings do."""
        return self.model if self.names_model else None


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """A rule of the settings. It fits a task of one of its kinds and with one of its labels; none of them means any.

    Args:
        weights: The agents by name, each with its share; one alone has the whole.
        kinds: Of tasks.
        labels: Of an issue or a pull request, in any case.
        model: Of the agent, where it is not its usual one.
    """

    weights: Mapping[str, int]
    kinds: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ChoiceRules:
    """What the settings of one repository say: `fallback_after` attempts that failed of it lead to the next agent."""

    default: str
    rules: tuple[ChoiceRule, ...] = ()
    fallback: tuple[str, ...] = ()
    fallback_after: int = 2


@dataclass(frozen=True, slots=True)
class TaskTraits:
    """What of a task decides which agent it gets.

    Args:
        id: By which weights are drawn.
        repository: Whose settings count.
        kind: Of the task.
        labels: Of the issues and pull requests that it is about.
        order: What a person wants.
        agent_failures: How many of its attempts have failed with the agent as the cause.
    """

    id: str
    repository: str
    kind: str
    labels: frozenset[str] = frozenset()
    order: AgentOrder | None = None
    agent_failures: int = 0


def choose_agent(task: TaskTraits, rules: ChoiceRules) -> AgentChoice:
    """Return the agent of a task's next attempt: the same one for the same task, labels and failures."""
    if task.order is not None:
        order = task.order
        return AgentChoice(
            agent=order.agent, model=order.model, names_model=order.model is not None, reason=ChoiceReason.ORDER
        )
    number, rule = next(_fitting(task, rules.rules), (0, None))
    choice = AgentChoice(agent=rules.default) if rule is None else _by_rule(number, rule, draw(task.id, rule.weights))
    others = _others(choice.agent, rules)
    place = min(task.agent_failures // rules.fallback_after, len(others))
    if place == 0:
        return choice
    before = (choice.agent, *others)[place - 1]
    tried = f"{task.agent_failures} attempt{'s' if task.agent_failures > 1 else ''} failed, with {before} at last"
    return AgentChoice(agent=others[place - 1], reason=ChoiceReason.FALLBACK, detail=tried)


def first_choices(task: TaskTraits, rules: ChoiceRules) -> tuple[AgentChoice, ...]:
    """Return each agent that the first attempt of a task may get whose id, by which weights are drawn, is not known."""
    number, rule = next(_fitting(task, rules.rules), (0, None))
    if task.order is not None or rule is None:
        return (choose_agent(task, rules),)
    return tuple(_by_rule(number, rule, name) for name in rule.weights)


def has_next_agent(first: str, failures: int, rules: ChoiceRules) -> bool:
    """Return whether a task that began with the agent `first` has a try left, after so many failures of its agents."""
    others = _others(first, rules)
    return bool(others) and failures < rules.fallback_after * (len(others) + 1)


def possible_choices(rules: ChoiceRules) -> tuple[AgentChoice, ...]:
    """Return each agent and model that a task without an order may get, the default first."""
    choices = [AgentChoice(agent=rules.default)]
    for number, rule in enumerate(rules.rules, 1):
        choices += [_by_rule(number, rule, name) for name in rule.weights]
    choices += [AgentChoice(agent=name, reason=ChoiceReason.FALLBACK) for name in rules.fallback]
    first = {(choice.agent, choice.model): choice for choice in reversed(choices)}
    return tuple(choice for choice in choices if first[choice.agent, choice.model] is choice)


def _others(name: str, rules: ChoiceRules) -> tuple[str, ...]:
    return tuple(other for other in dict.fromkeys(rules.fallback) if other != name)


def _fitting(task: TaskTraits, rules: tuple[ChoiceRule, ...]) -> Iterator[tuple[int, ChoiceRule]]:
    labels = {label.casefold() for label in task.labels}
    for number, rule in enumerate(rules, 1):
        rule_labels = {label.casefold() for label in rule.labels}
        if (not rule.kinds or task.kind in rule.kinds) and (not rule_labels or rule_labels & labels):
            yield number, rule


def _by_rule(number: int, rule: ChoiceRule, name: str) -> AgentChoice:
    is_drawn = len(rule.weights) > 1
    return AgentChoice(
        agent=name,
        model=rule.model,
        names_model=rule.model is not None,
        reason=ChoiceReason.WEIGHT if is_drawn else ChoiceReason.RULE,
        rule=number,
        detail=f"weight {rule.weights[name]} of {sum(rule.weights.values())}" if is_drawn else "",
    )


def draw(key: str, weights: Mapping[str, int]) -> str:
    """Return one of the names, each as often as its weight says among all keys, and for one key always the same.

    The order in which the names are written does not matter.
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:_HASH_BYTES], "big") * sum(weights.values()) >> (8 * _HASH_BYTES)
    names = sorted(weights)
    for name in names:
        place -= weights[name]
        if place < 0:
            return name
    return names[-1]
