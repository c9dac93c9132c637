"""The sections of the settings that say which agent a task gets, and how agents differ from `[agent]`."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, ValidationInfo, model_validator

from squire_pipelines.agent_names import known as known_agent
from squire_pipelines.agent_names import names as agent_kinds
from squire_pipelines.domain.agent_choice import ChoiceRule
from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.setting_types import (
    BaseUrl,
    Command,
    Image,
    Label,
    Name,
    ProviderChoices,
    SettingsSection,
    Skills,
    matching,
)

MAX_RULES = 50
AgentName = Annotated[
    str, matching(r"[a-z][a-z0-9_-]{0,39}", "an agent's name has up to 40 small letters, digits, - and _, like codex")
]
"""Of a table `[agents.NAME]`, or a kind of agent."""
Weight = Annotated[int, Field(ge=1, le=1000)]


def _as_weights(value: object) -> object:
    if isinstance(value, list | tuple):
        raise ValueError("agent is a name, or weights like { codex = 3, opencode = 1 }")  # noqa: TRY004 - pydantic's
    return {value: 1} if isinstance(value, str) else value


def _refuse_name(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        raise ValueError(f'{info.field_name} is a list: {info.field_name} = ["{value}"]')  # noqa: TRY004 - pydantic's
    return value


class ChooseSettings(SettingsSection):
    """A rule: which agent the tasks that it fits get. The first rule that fits counts."""

    agent: Annotated[
        dict[AgentName, Weight],
        BeforeValidator(_as_weights, json_schema_input_type=AgentName | dict[AgentName, Weight]),
    ] = Field(description="a name, or a table of names with their weights", min_length=1, max_length=20)
    model: Name | None = Field(default=None, description="of this agent, where it is not its usual one")
    kinds: Annotated[tuple[TaskKind, ...], BeforeValidator(_refuse_name)] = Field(
        default=(), description="of tasks; none means all"
    )
    labels: Annotated[tuple[Label, ...], BeforeValidator(_refuse_name)] = Field(
        default=(), description="of the issue or pull request, one of them; none means all"
    )

    @model_validator(mode="after")
    def _model_of_one(self) -> Self:
        if self.model is not None and len(self.agent) > 1:
            raise ValueError(
                f"model = {self.model!r} is for one agent, and agent has {len(self.agent)}: set the model of each in "
                "its table [agents.NAME]"
            )
        return self

    @property
    def rule(self) -> ChoiceRule:
        """The rule as it is applied."""
        return ChoiceRule(dict(self.agent), frozenset(self.kinds), frozenset(self.labels), self.model)


def _refuse_one_table(value: object) -> object:
    if isinstance(value, dict):
        raise ValueError("it is a list of rules: write [[agent.choose]] above each")  # noqa: TRY004 - pydantic's
    return value


ChooseRules = Annotated[tuple[ChooseSettings, ...], BeforeValidator(_refuse_one_table)]
"""The rules in their order."""


class NamedAgentSettings(SettingsSection):
    """An agent beside that of `[agent]`, from which it takes what it does not say itself."""

    kind: Annotated[str, AfterValidator(known_agent)] | None = Field(
        default=None, description="else that of its name, or of [agent]"
    )
    command: Command = ()
    model: Name | None = None
    provider: ProviderChoices | None = Field(default=None, description="of the model, or several, as in [agent]")
    base_url: BaseUrl | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)
    skills: Skills = ()
    image: Image | None = None
    limits: dict[str, Any] = Field(default_factory=dict, description="as in [agent.limits]")


def _check_kinds(tables: dict[str, NamedAgentSettings]) -> dict[str, NamedAgentSettings]:
    for name, table in tables.items():
        if table.kind not in (None, name) and name in agent_kinds():
            raise ValueError(
                f"[agents.{name}] has kind = {table.kind!r}, and {name} is a kind of its own: give the table another "
                "name, or remove kind"
            )
    return tables


NamedAgents = Annotated[dict[AgentName, NamedAgentSettings], AfterValidator(_check_kinds)]
"""By name."""
