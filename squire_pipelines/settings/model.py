"""All settings: a TOML file, overridden by the environment, checked before anything starts. The keys: `sections`.

Paths are derived here too. Secrets are not settings: `squire_pipelines.secrets` finds them by name.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from squire_pipelines import __version__
from squire_pipelines.domain.agent_choice import AgentChoice, ChoiceRules, possible_choices
from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.provider_order import names_of, order_providers
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.home import Home, named_config, no_file_hint
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.sections.agents import AgentSettings, NamedAgents, NamedAgentSettings
from squire_pipelines.sections.following import FollowSettings
from squire_pipelines.sections.gateway import GatewaySettings
from squire_pipelines.sections.operation import (
    AlertSettings,
    LoggingSettings,
    PipelineSettings,
    RetentionSettings,
    WarehouseSettings,
    WebhookSettings,
)
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.sections.secrets import SecretSettings
from squire_pipelines.sections.services import GitHubSettings, PlannerSettings
from squire_pipelines.sections.signals import (
    CiSettings,
    CollectionSettings,
    FilterSettings,
    SourceSettings,
    TrustSettings,
)
from squire_pipelines.sections.tasks import DispatchSettings, PolicySettings, PublishingSettings, VerificationSettings
from squire_pipelines.sections.types import LedgerUrl, RepositoryName, SourceName, refuse_two_spellings
from squire_pipelines.settings.default_models import with_default_model
from squire_pipelines.settings.errors import config_error, in_file, refuse_parameters, setting_context, table_name
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from squire_pipelines.settings.goal_paths import check_groups, with_goal_paths
from squire_pipelines.settings.keys import SettingValueError
from squire_pipelines.settings.named_agents import (
    check_command,
    check_rules,
    named_agent,
    named_tables,
    rules_of,
    where_named,
)
from squire_pipelines.settings.providers import (
    PUBLIC_URLS,
    ModelProvider,
    Providers,
    check_aliases,
    check_place,
    resolve_provider,
)
from squire_pipelines.settings.variables import no_json_error, refuse_unknown_sections, renamed_settings

_SectionT = TypeVar("_SectionT", bound=BaseModel)
_SQLITE = "sqlite:///"


class Settings(BaseSettings):
    """Everything that can be set. Unknown keys are refused."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="SQUIRE_", env_nested_delimiter="__", case_sensitive=False
    )

    repositories: tuple[RepositoryName, ...] = ()
    github: GitHubSettings = GitHubSettings()
    collection: CollectionSettings = CollectionSettings()
    ci: CiSettings = CiSettings()
    providers: Providers = Field(default_factory=dict, description="of models, by name")
    planner: PlannerSettings = PlannerSettings()
    agent: AgentSettings = AgentSettings()
    agents: NamedAgents = Field(default_factory=dict, description="beside that of [agent], by name")
    dispatch: DispatchSettings = DispatchSettings()
    policy: PolicySettings = PolicySettings()
    publishing: PublishingSettings = PublishingSettings()
    follow: FollowSettings = FollowSettings()
    trust: TrustSettings = TrustSettings()
    verification: VerificationSettings = VerificationSettings()
    webhooks: WebhookSettings = WebhookSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    retention: RetentionSettings = RetentionSettings()
    pipeline: PipelineSettings = PipelineSettings()
    gateway: GatewaySettings = GatewaySettings()
    budgets: BudgetLimits = Field(default=BudgetLimits(), description="see docs/guide/budgets.md")
    alerts: AlertSettings = AlertSettings()
    secrets: SecretSettings = SecretSettings()
    logging: LoggingSettings = LoggingSettings()
    filters: FilterSettings = FilterSettings()
    sources: dict[SourceName, SourceSettings] = Field(default_factory=dict, description="by name, of packages")
    repository: dict[RepositoryName, RepositoryOverrides] = Field(default_factory=dict)
    ledger_url: LedgerUrl | None = Field(default=None, description="SQLAlchemy URL; SQLite in the home when not set")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, by its new names and then by old ones, wins over the file, which arrives as arguments."""
        return (env_settings, renamed_settings(settings_cls), init_settings)

    @model_validator(mode="after")
    def _check_repositories(self) -> Self:
        refuse_two_spellings(self.repositories, "repositories")
        refuse_two_spellings(self.repository, "the tables [repository]")
        check_groups(self.planner.group, self.repositories)
        for name in self.repository:
            if (spelling := self.spelling_of(name)) != name:
                reason = f"which repositories spell {spelling!r}" if spelling else "which is not among repositories"
                raise SettingValueError(f'[repository."{name}"] is for {name!r}, {reason}', key=("repository", name))
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.webhooks.port == self.pipeline.webserver_port:
            raise SettingValueError(
                f"webhooks.port and pipeline.webserver_port are both {self.webhooks.port}: set one of them to another",
                key=("webhooks", "port"),
            )
        return self

    def check_overrides(self) -> None:
        """Check what each repository's overrides make of the sections. Raises ConfigError."""
        for repository in ("", *self.repository):
            for name in _OVERRIDABLE:
                self._merged(repository, name, getattr(self, name))
            for name in self.verification_for(repository).egress:
                try:
                    self.gateway_settings_for(repository).check_reachable(name)
                except ValueError as error:
                    table, step = table_name(repository, "verification"), f"set gateway.registries.{name} or remove it"
                    context = setting_context(table, "egress")
                    raise ConfigError(f"{table}: {error}", hint=step, context=context) from error
        # What the general section lacks may stand in each repository's own.
        for table, agent in self._agents_of(self.repositories or ("",)):
            check_command(table, agent)
        self._check_providers()
        self._check_rules()
        self._check_aliases()

    def _agents_of(self, repositories: Iterable[str]) -> Iterator[tuple[str, AgentSettings]]:
        """Yield each agent that a task of these repositories may get or be given, with the table that says so."""
        for repository in repositories:
            tables = self._agent_tables(repository)
            for choice in self.orderable_choices(repository):
                with where_named(choice, tables, table_name(repository, "agent")):
                    agent = self.agent_for(repository, choice)
                yield self.agent_table(repository, choice), agent

    def _check_rules(self) -> None:
        has_own = {name for name, overrides in self.repository.items() if "choose" in overrides.agent}
        for name in ("", *has_own):
            users = (name,) if name else set(self.repositories) - has_own or ("",)
            filters = [self.filters_for(user).rules for user in users]
            check_rules(table_name(name, "agent"), self._merged(name, "agent", self.agent), filters)

    def _check_providers(self) -> None:
        agents = self._agents_of(("", *self.repository))
        sections: list[tuple[str, PlannerSettings | AgentSettings]] = [("[planner]", self.planner), *agents]
        for table, section in sections:
            check_place(table, self.providers, section)

    def _check_aliases(self) -> None:
        models = {name: self._models_of(name) for name in ("", *self.repositories)}
        anywhere = set().union(*models.values())
        for repository in ("", *self.repository):
            allowed = models.get(repository, set()) if "aliases" in self._overrides(repository).gateway else anywhere
            check_aliases(table_name(repository, "gateway"), self.gateway_settings_for(repository).aliases, allowed)
        for name, provider in self.providers.items():
            agents = (agent for _, agent in self._agents_of(models) if name in names_of(agent.provider))
            allowed = {*provider.models, *self.gateway.models, *(agent.model for agent in agents if agent.model)}
            check_aliases(f"[providers.{name}]", provider.aliases, allowed)

    def _models_of(self, repository: str) -> set[str]:
        models = {agent.model for _, agent in self._agents_of((repository,)) if agent.model is not None}
        providers = (self.agent_providers(repository, choice=choice) for choice in self.possible_choices(repository))
        return models.union(*(provider.models for several in providers for provider in several))

    def agent_providers(
        self, repository: str, attempt_id: str | None = None, choice: AgentChoice | None = None
    ) -> tuple[ModelProvider, ...]:
        """Return the providers of the model that an agent of one repository calls, in the order of their use.

        Where the settings have weights, each attempt has an order of its own. `choice` is which agent, see `agent_for`.
        """
        agent, gateway = self.agent_for(repository, choice), self.gateway_settings_for(repository)
        base_url = agent.base_url or self.planner.base_url or PUBLIC_URLS[Protocol.OPENAI]
        names = order_providers(agent.provider, attempt_id) or (None,)
        return tuple(resolve_provider(self.providers, name, base_url, gateway) for name in names)

    def agent_provider(self, repository: str, choice: AgentChoice | None = None) -> ModelProvider:
        """Return the first provider of the model that an agent of one repository calls; all speak its protocol."""
        return self.agent_providers(repository, choice=choice)[0]

    def planner_providers(self, drawn_for: str | None = None) -> tuple[ModelProvider, ...]:
        """Return the providers of the planner's model in the order of their use; by weights, that of this text."""
        names = order_providers(self.planner.provider, drawn_for) or (None,)
        return tuple(resolve_provider(self.providers, name, self.planner.base_url, self.gateway) for name in names)

    @property
    def provider_secrets(self) -> tuple[str, ...]:
        """The names of the providers' keys, whether or not anything uses them."""
        providers = (resolve_provider(self.providers, name, None, self.gateway) for name in (None, *self.providers))
        return tuple(provider.secret for provider in providers if provider.cloud is None)

    def filters_for(self, repository: str) -> FilterSettings:
        """Return which signals of one repository are for Squire."""
        return self._merged(repository, "filters", self.filters)

    def reading_rules(self, repository: str) -> str:
        """Return a text that changes with what decides how a repository is read and judged, our version included."""
        sections = (self.filters_for(repository), self.ci_for(repository), self.trust_rules_for(repository))
        return __version__ + "".join(section.model_dump_json() for section in sections)

    def ci_for(self, repository: str) -> CiSettings:
        """Return which failed checks of one repository are work."""
        return self._merged(repository, "ci", self.ci)

    def agent_for(self, repository: str, choice: AgentChoice | None = None) -> AgentSettings:
        """Return an agent's settings for one repository: those of the chosen one, else of the one in `[agent]`.

        Raises:
            ConfigError: The settings have no such agent any more, or what they say of it cannot be.
        """
        base, tables = self._merged(repository, "agent", self.agent), self._agent_tables(repository)
        name, model = (base.kind, None) if choice is None else (choice.agent, choice.named_model)
        if name == base.kind and name not in tables and model is None:
            return with_default_model(base, self.providers)
        try:
            agent = AgentSettings.model_validate(named_agent(base, tables, name, model))
        except ValidationError as error:
            raise config_error(AgentSettings, error, table_name(repository, f"agents.{name}")) from error
        return with_default_model(agent, self.providers)

    def agent_table(self, repository: str, choice: AgentChoice) -> str:
        """Return the table that says most of an agent, as messages name it."""
        is_own = choice.agent in self._agent_tables(repository)
        return table_name(repository, f"agents.{choice.agent}" if is_own else "agent")

    def choice_rules(self, repository: str) -> ChoiceRules:
        """Return by which rules the tasks of one repository get their agents."""
        return rules_of(self._merged(repository, "agent", self.agent))

    def possible_choices(self, repository: str) -> tuple[AgentChoice, ...]:
        """Return each agent that a task of one repository may get without an order, the one in `[agent]` first."""
        return possible_choices(self.choice_rules(repository))

    def orderable_choices(self, repository: str) -> tuple[AgentChoice, ...]:
        """Return these and, after them, each table's agent with its own model, which a person may order."""
        choices = self.possible_choices(repository)
        known = {choice.agent for choice in choices if choice.named_model is None}
        return (*choices, *(AgentChoice(agent=name) for name in self._agent_tables(repository) if name not in known))

    @property
    def every_choice(self) -> tuple[tuple[str, AgentChoice], ...]:
        """Each agent that a task may get without an order, after the name of the repository."""
        return tuple((name, choice) for name in self.repositories for choice in self.possible_choices(name))

    @property
    def every_orderable_choice(self) -> tuple[tuple[str, AgentChoice], ...]:
        """Each agent that a task may get or be given, after the name of the repository."""
        return tuple((name, choice) for name in self.repositories for choice in self.orderable_choices(name))

    def _agent_tables(self, repository: str) -> dict[str, NamedAgentSettings]:
        try:
            return named_tables(self.agents, self._overrides(repository).agents)
        except ValidationError as error:
            raise config_error(NamedAgents, error, table_name(repository, "agents")) from error

    def policy_for(self, repository: str) -> PolicySettings:
        """Return the diff policy for one repository."""
        return self._merged(repository, "policy", self.policy)

    def follow_for(self, repository: str) -> FollowSettings:
        """Return what is done on our own pull requests in one repository."""
        return self._merged(repository, "follow", self.follow)

    def gateway_settings_for(self, repository: str) -> GatewaySettings:
        """Return what an agent of one repository may reach."""
        return self._merged(repository, "gateway", self.gateway)

    def budgets_for(self, repository: str) -> BudgetLimits:
        """Return the limits for one repository, and those for all together."""
        return self._merged(repository, "budgets", self.budgets)

    def verification_for(self, repository: str) -> VerificationSettings:
        """Return how one repository is verified."""
        return self._merged(repository, "verification", self.verification)

    def trust_for(self, repository: str) -> TrustSettings:
        """Return who may start work in one repository."""
        return self._merged(repository, "trust", self.trust)

    def trust_rules_for(self, repository: str) -> TrustRules:
        """Return the rules by which what is seen in one repository is judged."""
        trust = self.trust_for(repository).model_dump(include={"bots", "min_permission", "release_label"})
        return TrustRules(issue_labels=self.issue_labels_for(repository), **trust)

    def issue_labels_for(self, repository: str) -> tuple[str, ...]:
        """Return the labels that make an issue of this repository a task."""
        labels = self._overrides(repository).issue_labels
        return self.planner.issue_labels if labels is None else labels

    def spelling_of(self, repository: str) -> str | None:
        """Return how `repositories` spell a name, since GitHub ignores case; None when it is not among them."""
        return next((name for name in self.repositories if name.casefold() == repository.casefold()), None)

    def _overrides(self, repository: str) -> RepositoryOverrides:
        return self.repository.get(self.spelling_of(repository) or repository, RepositoryOverrides())

    def _merged(self, repository: str, name: str, section: _SectionT) -> _SectionT:
        """Return a section with one repository's overrides. Raises ConfigError, but not once they are checked."""
        overrides: dict[str, Any] = getattr(self._overrides(repository), name)
        if not overrides:
            return section
        merged = section.model_dump()
        for key, value in overrides.items():
            known = merged.get(key)
            is_grown = isinstance(known, dict) and isinstance(value, dict) and key != "provider"
            merged[key] = {**(known or {}), **value} if is_grown else value
        for key, other in (("provider", "base_url"), ("base_url", "provider")):
            if key in overrides and other in merged and other not in overrides:
                merged[other] = None  # both say where the model is, and the repository's own word counts
        try:
            return type(section).model_validate(merged)
        except ValidationError as error:
            raise config_error(type(section), error, table_name(repository, name)) from error

    @cached_property
    def home(self) -> Home:
        """Where Squire's files lie."""
        return Home.from_environment()

    @property
    def secret_sources(self) -> SecretSources:
        """Where secrets are looked for."""
        return SecretSources(self.home, **self.secrets.model_dump())

    @property
    def resolved_ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.ledger_url or f"{_SQLITE}{self.home.data / 'ledger.sqlite'}"

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file, None when it is in a database server."""
        url = self.resolved_ledger_url
        return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


_OVERRIDABLE = tuple(name for name in RepositoryOverrides.model_fields if name in {*Settings.model_fields} - {"agents"})


def load_settings(config: Path | None = None) -> Settings:
    """Read and check the settings of a TOML file: by default `SQUIRE_CONFIG`, else the configuration directory's.

    Raises:
        ConfigError: The file is missing though named, is no TOML, has an unknown key or a value out of bounds.
    """
    named = config or named_config()
    file = read_settings_file(named or Home.from_environment().config_file)
    if named is not None and not file.exists:
        raise ConfigError(f"the configuration file {named} does not exist", hint=no_file_hint(named))
    return settings_of(file)


def settings_of(file: SettingsFile) -> Settings:
    """Return the settings that a file and the environment make, checked. Raises ConfigError."""
    refuse_unknown_sections(Settings)
    refuse_parameters(file)
    try:
        settings = Settings(**with_goal_paths(file.values, file.folder))
        settings.check_overrides()
    except ValidationError as error:
        raise in_file(config_error(Settings, error), file) from error
    except SettingsError as error:
        raise no_json_error(error) from error
    except ConfigError as error:
        raise in_file(error, file) from error
    return settings
