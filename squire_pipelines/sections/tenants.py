"""The tables `[tenants.NAME]`: the teams that share this Squire, and what of it is a team's alone.

Which repository is whose follows in `settings.tenancy`; what a tenant's login sees is the board's business.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from squire_pipelines.domain.budgets import Limit
from squire_pipelines.domain.fair_shares import TenantShare
from squire_pipelines.domain.tenants import check_tenant_name
from squire_pipelines.secret_names import check_secret_name
from squire_pipelines.sections.alerts import ApprisedTargets
from squire_pipelines.sections.hidden_values import HIDDEN, hidden_error
from squire_pipelines.sections.types import AppId, Label, Name, SecretUrl, SettingsSection, matching

MAX_TENANTS = 200
_MAX_PATTERNS = 1000
_MAX_PEOPLE = 1000

TenantName = Annotated[str, AfterValidator(check_tenant_name)]
RepositoryPattern = Annotated[
    str,
    matching(r"[A-Za-z0-9_.*?-]{1,100}/[A-Za-z0-9_.*?-]{1,100}", "no repository or pattern, like acme/api or acme/*"),
]


def _check_secret(name: str) -> str:
    try:
        checked = check_secret_name(name)
    except ValueError as error:
        raise hidden_error(str(error)) from None
    if "." in checked:
        raise hidden_error("a secret of a tenant is no secret of the house: name one like github-token")
    return checked


HouseSecrets = Annotated[tuple[Annotated[str, AfterValidator(_check_secret), HIDDEN], ...], Field(max_length=50)]


class TenantAlerts(SettingsSection):
    """To whom the alerts about a tenant's own repositories and budgets go, beside the operators' targets."""

    webhook_url: SecretUrl | None = Field(
        default=None, description="as alerts.webhook_url; signed with the tenant's secret alert-webhook-key"
    )
    apprise: ApprisedTargets = Field(
        default=(), description="names of further targets; the URL of TARGET is the tenant's secret alert-TARGET-token"
    )


class TenantBudgets(SettingsSection):
    """What a tenant's work may cost. What is not set is as in [budgets], which limits all tenants together too."""

    attempt: Limit | None = Field(default=None, description="instead of budgets.attempt")
    plan: Limit | None = Field(default=None, description="instead of budgets.plan")
    task: Limit | None = Field(default=None, description="instead of budgets.task")
    repository: Limit | None = Field(default=None, description="of each of its repositories, by the month")
    day: Limit = Field(default=Limit(), description="of all its repositories together")
    month: Limit = Field(default=Limit(), description="likewise")

    @property
    def is_set(self) -> bool:
        """Whether there is a limit on the tenant as a whole."""
        return self.day.is_set or self.month.is_set

    @property
    def overrides(self) -> dict[str, Any]:
        """What is instead of the general limits, by their names."""
        return self.model_dump(include={"attempt", "plan", "task", "repository"}, exclude_none=True)


class TenantOverrides(SettingsSection):
    """A tenant, but for its providers. Its sections hold in its repositories; a repository's own tables win."""

    repositories: tuple[RepositoryPattern, ...] = Field(
        min_length=1, max_length=_MAX_PATTERNS, description="names, or patterns like acme/*; each is one tenant's alone"
    )
    weight: float = Field(default=1.0, ge=0.01, le=1000, description="its share of the slots against others'")
    max_concurrent: int | None = Field(default=None, ge=1, le=10_000, description="attempts at once, whatever is free")
    house_secrets: HouseSecrets = Field(
        default=(), description="which of the house's secrets it may use where it has none of its own"
    )
    house_clouds: bool = Field(
        default=False, description="whether it may use providers on a cloud with this machine's credentials there"
    )
    github_app_id: AppId | None = Field(default=None, description="of an App of its own; its key is github-app-key")
    people: tuple[Name, ...] = Field(
        default=(), max_length=_MAX_PEOPLE, description='who sees it on the board with board.login = "proxy"'
    )
    budgets: TenantBudgets = TenantBudgets()
    alerts: TenantAlerts = TenantAlerts()
    planner: dict[str, Any] = Field(default_factory=dict)
    agent: dict[str, Any] = Field(default_factory=dict)
    agents: dict[str, Any] = Field(default_factory=dict)
    gateway: dict[str, Any] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(default_factory=dict)
    trust: dict[str, Any] = Field(default_factory=dict)
    verification: dict[str, Any] = Field(default_factory=dict)
    follow: dict[str, Any] = Field(default_factory=dict)
    issue_labels: tuple[Label, ...] | None = None

    @field_validator("planner")
    @classmethod
    def _has_no_group(cls, planner: dict[str, Any]) -> dict[str, Any]:
        for name in ("goals", "group"):
            if name in planner:
                raise ValueError(f"{name} is no setting of a tenant: set it in [planner], or goals for a repository")
        return planner

    @property
    def share(self) -> TenantShare:
        """What it is due of the slots."""
        return TenantShare(self.weight, self.max_concurrent)
