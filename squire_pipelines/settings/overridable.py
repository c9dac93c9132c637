"""The sections of the settings, where they come from, and what each repository's own tables make of them."""

from functools import cached_property
from typing import Any, Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from squire_pipelines import __version__
from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.budgets import BudgetLimits, TenantBudgetLimits
from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.tenants import DEFAULT_TENANT, RepositoryOfTwoTenantsError, tenant_of
from squire_pipelines.sections.agents import AgentSettings, NamedAgents
from squire_pipelines.sections.alerts import AlertSettings
from squire_pipelines.sections.board import BoardSettings
from squire_pipelines.sections.files import FileSettings
from squire_pipelines.sections.following import FollowSettings
from squire_pipelines.sections.gateway import GatewaySettings
from squire_pipelines.sections.hooks import Hooks
from squire_pipelines.sections.kubernetes import KubernetesSettings
from squire_pipelines.sections.observability import ObservabilitySettings, TracingSettings
from squire_pipelines.sections.operation import (
    BackupSettings,
    LoggingSettings,
    PipelineSettings,
    RetentionSettings,
    WarehouseSettings,
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
from squire_pipelines.sections.targets import TargetSettings
from squire_pipelines.sections.tasks import DispatchSettings, PolicySettings, PublishingSettings, VerificationSettings
from squire_pipelines.sections.types import LedgerUrl, RepositoryName, SourceName, refuse_two_spellings
from squire_pipelines.sections.webhooks import WebhookSettings
from squire_pipelines.sections.workers import WorkerSettings
from squire_pipelines.settings.errors import config_error, table_name
from squire_pipelines.settings.goal_paths import check_groups
from squire_pipelines.settings.hook_rules import check_filtered_sources, check_hooks
from squire_pipelines.settings.keys import SettingValueError
from squire_pipelines.settings.port_rules import check_ports_differ
from squire_pipelines.settings.providers import Providers
from squire_pipelines.settings.secret_rules import check_signing_secrets
from squire_pipelines.settings.tenancy import Tenants, TenantSettings, check_tenants, owners_of
from squire_pipelines.settings.variables import renamed_settings

_SectionT = TypeVar("_SectionT", bound=BaseModel)


class OverridableSections(BaseSettings):
    """Each section of the settings, for all repositories and for one."""

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
    targets: TargetSettings = TargetSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    retention: RetentionSettings = RetentionSettings()
    backup: BackupSettings = BackupSettings()
    files: FileSettings = FileSettings()
    pipeline: PipelineSettings = PipelineSettings()
    workers: WorkerSettings = WorkerSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    gateway: GatewaySettings = GatewaySettings()
    budgets: BudgetLimits = Field(default=BudgetLimits(), description="see docs/guide/budgets.md")
    alerts: AlertSettings = AlertSettings()
    secrets: SecretSettings = SecretSettings()
    logging: LoggingSettings = LoggingSettings()
    observability: ObservabilitySettings = ObservabilitySettings()
    board: BoardSettings = BoardSettings()
    tracing: TracingSettings = TracingSettings()
    filters: FilterSettings = FilterSettings()
    sources: dict[SourceName, SourceSettings] = Field(default_factory=dict, description="by name, of packages")
    hooks: Hooks = Field(default_factory=dict, description="by name: senders beside GitHub")
    repository: dict[RepositoryName, RepositoryOverrides] = Field(default_factory=dict)
    tenants: Tenants = Field(default_factory=dict, description="teams that share this Squire, by name")
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
        check_hooks(self.hooks, self.repositories)
        check_filtered_sources(self.webhooks.filters, self.hooks)
        check_signing_secrets(self.webhooks, self.hooks, self.providers, self.alerts)
        check_tenants(self.tenants, self.repositories, self.planner.group, self.providers)
        for name in self.repository:
            if (spelling := self.spelling_of(name)) != name:
                reason = f"which repositories spell {spelling!r}" if spelling else "which is not among repositories"
                raise SettingValueError(f'[repository."{name}"] is for {name!r}, {reason}', key=("repository", name))
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        check_ports_differ(self.webhooks, self.pipeline, self.observability, self.board, self.kubernetes)
        return self

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
        """Return the limits for one repository, for its tenant as a whole, and those for all together."""
        limits, table = self._merged(repository, "budgets", self.budgets), self.tenant_table(repository)
        if table is None:
            return limits
        budgets = table.budgets
        whole = {"tenant": self.tenant_of(repository), "tenant_day": budgets.day, "tenant_month": budgets.month}
        try:
            return TenantBudgetLimits.model_validate(limits.model_dump() | whole)
        except ValidationError as error:
            raise config_error(TenantBudgetLimits, error, f"[tenants.{whole['tenant']}.budgets]") from error

    def targets_for(self, repository: str) -> TargetSettings:
        """Return how well work in one repository is to go."""
        return self._merged(repository, "targets", self.targets)

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
        table = self.tenant_table(repository)
        for labels in (self._overrides(repository).issue_labels, table.issue_labels if table is not None else None):
            if labels is not None:
                return labels
        return self.planner.issue_labels

    def spelling_of(self, repository: str) -> str | None:
        """Return how `repositories` spell a name, since GitHub ignores case; None when it is not among them."""
        return next((name for name in self.repositories if name.casefold() == repository.casefold()), None)

    @cached_property
    def _owners(self) -> dict[str, str]:
        return owners_of(self.tenants, self.repositories, self.planner.group)

    def tenant_of(self, repository: str) -> str:
        """Return the name of the tenant to whom a repository belongs now; one that two would have is the house's."""
        if not self.tenants:
            return DEFAULT_TENANT
        owner = self._owners.get(repository.casefold())
        if owner is not None:
            return owner
        try:
            return tenant_of(repository, {name: table.repositories for name, table in self.tenants.items()})
        except RepositoryOfTwoTenantsError:
            return DEFAULT_TENANT

    def tenant_table(self, repository: str) -> TenantSettings | None:
        """Return the table of a repository's tenant; None where it is the default one."""
        return self.tenants.get(self.tenant_of(repository)) if self.tenants else None

    @property
    def tenant_names(self) -> tuple[str, ...]:
        """All tenants, the default one last where a repository is left for it."""
        has_others = not self.tenants or DEFAULT_TENANT in self._owners.values()
        return (*self.tenants, *((DEFAULT_TENANT,) if has_others else ()))

    @property
    def recorded_tenants(self) -> dict[str, str]:
        """Whose each repository is, and each group's plans, as the ledger records it; empty without tenants."""
        if not self.tenants:
            return {}
        groups = (group_subject(group.name) for group in self.planner.group)
        return {name: self.tenant_of(name) for name in (*self.repositories, *groups)}

    def _tenant_overrides(self, repository: str, name: str) -> dict[str, Any]:
        table = self.tenant_table(repository)
        if table is None or name not in type(table).model_fields:
            return {}
        return table.budgets.overrides if name == "budgets" else dict(getattr(table, name))

    def _overrides(self, repository: str) -> RepositoryOverrides:
        return self.repository.get(self.spelling_of(repository) or repository, RepositoryOverrides())

    def _merged(self, repository: str, name: str, section: _SectionT) -> _SectionT:
        """Return a section with the overrides of a repository's tenant, and then with its own.

        Raises:
            ConfigError: They cannot be; not once they are checked.
        """
        own: dict[str, Any] = getattr(self._overrides(repository), name)
        of_tenant = self._tenant_overrides(repository, name)
        if of_tenant:
            section = with_overrides(section, of_tenant, f"[tenants.{self.tenant_of(repository)}.{name}]")
        return with_overrides(section, own, table_name(repository, name)) if own else section


def with_overrides(section: _SectionT, overrides: dict[str, Any], table: str) -> _SectionT:
    """Return a section with what a table says otherwise. Raises ConfigError, which names the table."""
    merged = section.model_dump()
    for key, value in overrides.items():
        known = merged.get(key)
        is_grown = isinstance(known, dict) and isinstance(value, dict) and key != "provider"
        merged[key] = {**(known or {}), **value} if is_grown else value
    for key, other in (("provider", "base_url"), ("base_url", "provider")):
        if key in overrides and other in merged and other not in overrides:
            merged[other] = None  # both say where the model is, and the table's own word counts
    try:
        return type(section).model_validate(merged)
    except ValidationError as error:
        raise config_error(type(section), error, table) from error


OVERRIDABLE = tuple(
    name for name in RepositoryOverrides.model_fields if name in {*OverridableSections.model_fields} - {"agents"}
)
"""The sections that a repository's tables override key by key."""
