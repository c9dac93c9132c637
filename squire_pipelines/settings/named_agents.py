"""An agent by its name: `[agent]` with what `[agents.NAME]` changes, for one repository. The rule is in `domain`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter

from squire_pipelines.agent_names import names as agent_kinds
from squire_pipelines.domain.agent_choice import AgentChoice, ChoiceReason, ChoiceRules
from squire_pipelines.domain.choice_coverage import why_never
from squire_pipelines.domain.filters import SignalFilters
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.agents import AgentSettings, NamedAgents, NamedAgentSettings
from squire_pipelines.settings.errors import setting_context

# What is the program's own, and means nothing to another one.
_OF_PROGRAM = ("command", "options", "image")


def rules_of(agent: AgentSettings) -> ChoiceRules:
    """Return the rules of one repository's section."""
    rules = tuple(choose.rule for choose in agent.choose)
    return ChoiceRules(agent.kind, rules, agent.fallback, agent.fallback_after)


def named_agent(
    base: AgentSettings, tables: Mapping[str, NamedAgentSettings], name: str, model: str | None = None
) -> dict[str, Any]:
    """Return what the settings of an agent are, before they are checked.

    Args:
        base: `[agent]` as it holds for the repository.
        tables: `[agents.NAME]`, likewise.
        name: Of the table, or of a kind of agent.
        model: That an order or a rule names.

    Raises:
        ConfigError: There is no agent of that name.
    """
    table = tables.get(name)
    kinds = agent_kinds()
    if table is None and name not in kinds:
        raise unknown_agent(name, tables)
    values = base.model_dump()
    kind = (table.kind if table is not None else None) or (name if name in kinds else base.kind)
    if kind != base.kind:
        defaults = AgentSettings().model_dump()
        values |= {field: defaults[field] for field in _OF_PROGRAM}
        values["kind"] = kind
    if table is not None:
        values |= _changes(table, values)
    if model is not None:
        values["model"] = model
    return values


def unknown_agent(name: str, tables: Mapping[str, NamedAgentSettings]) -> ConfigError:
    """Return the refusal of a name that no agent has."""
    known = (*agent_kinds(), *tables)
    similar = get_close_matches(name, known, n=1)
    guess = f"; {similar[0]!r} is like it" if similar else ""
    return ConfigError(
        f"there is no agent {name!r}{guess}",
        hint=f"name one of {', '.join(dict.fromkeys(known))}, or write a table [agents.{name}]",
    )


def check_command(table: str, agent: AgentSettings) -> None:
    """Check that an agent which is a command has one. Raises ConfigError with the table's name."""
    if agent.kind == "command" and not agent.command:
        key = table.strip("[]").replace('"', "")
        raise ConfigError(
            f'{table}: kind = "command" needs a command, and none is set',
            hint=f"""set one first, as with `squire config set {key}.command '["ruff", "check", "--fix", "."]'`""",
            context=setting_context(table, "kind"),
        )


def check_rules(table: str, agent: AgentSettings, filters: Sequence[SignalFilters]) -> None:
    """Check that each rule of a section may apply in a repository with one of these filters. Raises ConfigError."""
    rules = rules_of(agent).rules
    for index in range(len(rules)):
        if (reason := why_never(rules, index, filters)) is not None:
            raise ConfigError(
                f"{table} choose, rule {index + 1} never applies: {reason}",
                hint="put it before the rule that takes its tasks, narrow that one, or remove the rule",
                context=setting_context(table, "choose", index),
            )


@contextmanager
def where_named(choice: AgentChoice, tables: Collection[str], section: str) -> Iterator[None]:
    """Have a refusal of a name that has no table say where it stands: in which rule of `section`, or as a fallback."""
    try:
        yield
    except ConfigError as error:
        if choice.agent in tables or choice.reason is ChoiceReason.SETTING:
            raise
        if choice.rule is None:
            part, key = "fallback", setting_context(section, "fallback")
        else:
            part, key = f"choose, rule {choice.rule}", setting_context(section, "choose", choice.rule - 1, "agent")
        context = {**error.context, **key, "value": choice.agent}
        raise ConfigError(f"{section} {part}: {error.message}", hint=error.hint, context=context) from error


def named_tables(general: Mapping[str, NamedAgentSettings], own: Mapping[str, Any]) -> dict[str, NamedAgentSettings]:
    """Return the tables `[agents.NAME]` as they hold for a repository, whose own keys win.

    Raises:
        ValidationError: A repository's own table is none.
    """
    if not own:
        return dict(general)
    merged: dict[str, Any] = {name: table.model_dump(exclude_unset=True) for name, table in general.items()}
    for name, changes in own.items():
        before = merged.get(name, {})
        merged[name] = changes
        if isinstance(changes, dict):
            merged[name] = {**before, **changes}
            if isinstance(changes.get("limits"), dict):
                merged[name]["limits"] = {**before.get("limits", {}), **changes["limits"]}
    return TypeAdapter(NamedAgents).validate_python(merged)


def _changes(table: NamedAgentSettings, values: Mapping[str, Any]) -> dict[str, Any]:
    changes = table.model_dump(exclude_unset=True)
    if "limits" in changes:
        changes["limits"] = values["limits"] | changes["limits"]
    # Both say where the model is, and the table's own word counts; another place has other models.
    for key, other in (("provider", "base_url"), ("base_url", "provider")):
        if key in changes and other not in changes:
            changes[other] = None
            changes.setdefault("model", None if changes[key] != values[key] else values["model"])
    return changes
