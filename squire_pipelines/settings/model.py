"""All settings: a TOML file, overridden by the environment, checked before anything starts. The keys: `sections`.

Paths are derived here too. Secrets are not settings: `squire_pipelines.secrets` finds them by name.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import SettingsError

from squire_pipelines.domain.agent_choice import AgentChoice, ChoiceRules, possible_choices
from squire_pipelines.domain.provider_order import names_of, order_providers
from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.home import Home, named_config, no_file_hint
from squire_pipelines.secret_names import SecretName, tenant_secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.sections.agents import AgentSettings, NamedAgents, NamedAgentSettings
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.dagster_storage import names_postgres, storage_url_of
from squire_pipelines.settings.default_models import with_default_model
from squire_pipelines.settings.errors import config_error, in_file, refuse_parameters, setting_context, table_name
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from squire_pipelines.settings.goal_paths import with_goal_paths
from squire_pipelines.settings.named_agents import (
    check_command,
    check_rules,
    named_agent,
    named_tables,
    rules_of,
    where_named,
)
from squire_pipelines.settings.overridable import OVERRIDABLE, OverridableSections, with_overrides
from squire_pipelines.settings.providers import (
    PUBLIC_URLS,
    ModelProvider,
    ProviderSettings,
    check_aliases,
    check_place,
    resolve_provider,
)
from squire_pipelines.settings.tenancy import check_clouds
from squire_pipelines.settings.variables import no_json_error, refuse_unknown_sections

APP_KEY = SecretName.GITHUB_APP_KEY.value
_SQLITE = "sqlite:///"


class Settings(OverridableSections):
    """Everything that can be set. Unknown keys are refused."""

    _tenant: str | None = PrivateAttr(default=None)
    """Whose settings these are: see `for_tenant`."""

    def check_overrides(self) -> None:
        """Check what each repository's overrides make of the sections. Raises ConfigError."""
        of_tenants = (next(iter(self.for_tenant(name).repositories), "") for name in self.tenants)
        for repository in dict.fromkeys(("", *self.repository, *of_tenants)):
            for name in OVERRIDABLE:
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
        agents = self._agents_of(name for name in ("", *self.repository) if self.tenant_table(name) is None)
        sections: list[tuple[str, PlannerSettings | AgentSettings]] = [("[planner]", self.planner), *agents]
        for table, section in sections:
            check_place(table, self.providers, section)
        for name in self.tenants:
            own = self.for_tenant(name)
            agents = own._agents_of(own.repositories)  # noqa: SLF001 - of this class
            sections = [(f"[tenants.{name}.planner]", own.planner), *agents]
            for table, section in sections:
                check_place(table, own.providers, section)
                check_clouds(table, name, self.tenants[name], own.providers, names_of(section.provider))

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
        names, tables = order_providers(agent.provider, attempt_id) or (None,), self.providers_for(repository)
        return tuple(resolve_provider(tables, name, base_url, gateway) for name in names)

    def agent_provider(self, repository: str, choice: AgentChoice | None = None) -> ModelProvider:
        """Return the first provider of the model that an agent of one repository calls; all speak its protocol."""
        return self.agent_providers(repository, choice=choice)[0]

    def planner_providers(self, drawn_for: str | None = None) -> tuple[ModelProvider, ...]:
        """Return the providers of the planner's model in the order of their use; by weights, that of this text."""
        names = order_providers(self.planner.provider, drawn_for) or (None,)
        return tuple(resolve_provider(self.providers, name, self.planner.base_url, self.gateway) for name in names)

    def providers_for(self, repository: str) -> dict[str, ProviderSettings]:
        """Return the tables of providers that a repository's agents may name: the house's, with its tenant's own."""
        table = self.tenant_table(repository)
        return self.providers if table is None else {**self.providers, **table.providers}

    @property
    def tenant(self) -> str | None:
        """Whose settings these are; None for those of all tenants together."""
        return self._tenant

    def for_tenant(self, name: str) -> "Settings":
        """Return the settings as they hold for one tenant: its repositories alone, its providers, its secrets.

        Raises:
            ConfigError: Its tables cannot be; not once they are checked.
        """
        table = self.tenants.get(name)
        names = tuple(repository for repository in self.repositories if self.tenant_of(repository) == name)
        own = {repository: value for repository, value in self.repository.items() if repository in names}
        update: dict[str, Any] = {"repositories": names, "repository": own}
        groups = tuple(group for group in self.planner.group if set(group.repositories) <= set(names))
        planner = self.planner
        if table is not None:
            planner = with_overrides(planner, table.planner, f"[tenants.{name}.planner]")
            app_id = self.github.app_id if APP_KEY in table.house_secrets else None
            update["github"] = self.github.model_copy(update={"app_id": table.github_app_id or app_id})
            update["providers"] = {**self.providers, **table.providers}
            update["alerts"] = self.alerts.model_copy(update=dict(table.alerts))
        settings = self.model_copy(update={**update, "planner": planner.model_copy(update={"group": groups})})
        settings._tenant = name  # noqa: SLF001 - of this class
        return settings

    def for_repository(self, repository: str) -> "Settings":
        """Return the settings as they hold for a repository's tenant; these, where there are no tenants."""
        return self if not self.tenants or self._tenant is not None else self.for_tenant(self.tenant_of(repository))

    @property
    def provider_secrets(self) -> tuple[str, ...]:
        """The names of the providers' keys, whether or not anything uses them."""
        providers = (resolve_provider(self.providers, name, None, self.gateway) for name in (None, *self.providers))
        return tuple(provider.secret for provider in providers if provider.cloud is None)

    @property
    def named_secrets(self) -> tuple[str, ...]:
        """The names of all secrets that the settings name: of providers, alerts, webhooks, board, files, senders."""
        sections = (self.alerts, self.webhooks, self.board, self.files, self.workers)
        others = (name for section in sections for name in section.secret_names)
        return (*self.provider_secrets, *others, *self.hook_secrets, *self.tenant_secrets)

    @property
    def tenant_secrets(self) -> tuple[str, ...]:
        """The names of the secrets of all tenants, `TENANT.NAME`; none in the settings of one of them."""
        if self._tenant is not None:
            return ()
        return tuple(tenant_secret(name, secret) for name in self.tenants for secret in self._secrets_of(name))

    def _secrets_of(self, tenant: str) -> tuple[str, ...]:
        own = self.for_tenant(tenant)
        access = APP_KEY if own.github.app_id else SecretName.GITHUB_TOKEN.value
        needed = (access, *own.provider_secrets, *own.alerts.secret_names, *own.board.secret_names)
        return tuple(dict.fromkeys((*needed, SecretName.WEBHOOK_SECRET.value, SecretName.WEBHOOK_SECRET_OLD.value)))

    @property
    def hook_secrets(self) -> tuple[str, ...]:
        """The names of the secrets of senders beside GitHub, whether or not they are switched on."""
        return tuple(dict.fromkeys(secret for name, hook in self.hooks.items() for secret in hook.secret_names(name)))

    def agent_for(self, repository: str, choice: AgentChoice | None = None) -> AgentSettings:
        """Return an agent's settings for one repository: those of the chosen one, else of the one in `[agent]`.

        Raises:
            ConfigError: The settings have no such agent any more, or what they say of it cannot be.
        """
        base, tables = self._merged(repository, "agent", self.agent), self._agent_tables(repository)
        name, model = (base.kind, None) if choice is None else (choice.agent, choice.named_model)
        providers = self.providers_for(repository)
        if name == base.kind and name not in tables and model is None:
            return with_default_model(base, providers)
        try:
            agent = AgentSettings.model_validate(named_agent(base, tables, name, model))
        except ValidationError as error:
            raise config_error(AgentSettings, error, table_name(repository, f"agents.{name}")) from error
        return with_default_model(agent, providers)

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
            general = named_tables(self.agents, self._tenant_overrides(repository, "agents"))
            return named_tables(general, self._overrides(repository).agents)
        except ValidationError as error:
            raise config_error(NamedAgents, error, table_name(repository, "agents")) from error

    @cached_property
    def home(self) -> Home:
        """Where Squire's files lie."""
        return Home.from_environment()

    @property
    def secret_sources(self) -> SecretSources:
        """Where secrets are looked for; in the settings of one tenant, where that one's are."""
        return self.secret_sources_of(self._tenant or DEFAULT_TENANT)

    @property
    def house_sources(self) -> SecretSources:
        """Where the house's own secrets are, as those of the file store, whoever's work needs them."""
        return self.secret_sources_of(DEFAULT_TENANT)

    def secret_sources_of(self, tenant: str) -> SecretSources:
        """Return where a tenant's secrets are: under its own names, and the house's where its table says so."""
        sources, table = SecretSources(self.home, **self.secrets.model_dump()), self.tenants.get(tenant)
        if table is None:
            return sources
        return replace(sources, tenant=tenant, house_secrets=frozenset(table.house_secrets))

    def secret_sources_for(self, repository: str) -> SecretSources:
        """Return where the secrets are with which work in a repository is done: those of its tenant."""
        return self.secret_sources_of(self.tenant_of(repository))

    @property
    def resolved_ledger_url(self) -> str:
        """The ledger's SQLAlchemy URL."""
        return self.ledger_url or f"{_SQLITE}{self.home.data / 'ledger.sqlite'}"

    @property
    def dagster_storage_url(self) -> str | None:
        """The URL that Dagster's storage on Postgres is to have, with its password; None for files in the home."""
        return storage_url_of(self.pipeline.storage_url or self.resolved_ledger_url)

    @property
    def dagster_url_in_use(self) -> str | None:
        """The same, where the home's `dagster.yaml` has its storage on Postgres: a person may have written another."""
        url = self.dagster_storage_url
        return url if url is not None and names_postgres(self.home.dagster / "dagster.yaml") else None

    @property
    def is_shared(self) -> bool:
        """Whether runs are carried to workers, on this machine and on others."""
        return self.workers.broker_url is not None

    def check_shared(self) -> None:
        """Check that what several machines share can be shared. Raises ConfigError."""
        if self.is_shared and self.ledger_file is not None:
            raise ConfigError(
                "workers.broker_url is set, and the ledger is SQLite, which no second machine can write to",
                hint="name a Postgres database in ledger_url, or remove workers.broker_url for one machine",
                context=setting_context("[workers]", "broker_url"),
            )
        if self.is_shared and not self.files.url:
            raise ConfigError(
                "workers.broker_url is set, and files.url is not: a worker would keep what it finishes to itself",
                hint="set files.url to a folder that all workers have, such as file:///srv/squire, or to a bucket",
                context=setting_context("[files]", "url"),
            )
        if self.uses_cluster and not self.is_shared:
            raise ConfigError(
                'agent.runner = "kubernetes" needs workers, at whose door pods get their inputs',
                hint="set workers.broker_url, or another runner",
                context=setting_context("[agent]", "runner"),
            )
        if self.uses_cluster and self.kubernetes.door is None:
            raise ConfigError(
                'agent.runner = "kubernetes" needs kubernetes.door, at which pods reach the workers',
                hint="set it to the workers' Service, like squire-door.squire.svc:8788",
                context=setting_context("[kubernetes]", "door"),
            )

    @property
    def uses_cluster(self) -> bool:
        """Whether the agent of some repository runs as a Job of a cluster."""
        return any(self.agent_for(name).runner == "kubernetes" for name in ("", *self.repositories))

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file, None when it is in a database server."""
        url = self.resolved_ledger_url
        return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


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
