"""What the settings may say of one repository: the tables of `[repositories]`."""

from typing import Any

from pydantic import Field, field_validator

from squire_pipelines.sections.goals import Goals
from squire_pipelines.sections.types import Label, SettingsSection


class RepositoryOverrides(SettingsSection):
    """Settings of one repository that differ; what is not named is taken from the general sections."""

    ci: dict[str, Any] = Field(default_factory=dict)
    trust: dict[str, Any] = Field(default_factory=dict)
    filters: dict[str, Any] = Field(default_factory=dict)
    agent: dict[str, Any] = Field(default_factory=dict)
    agents: dict[str, Any] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(default_factory=dict)
    verification: dict[str, Any] = Field(default_factory=dict)
    follow: dict[str, Any] = Field(default_factory=dict)
    gateway: dict[str, Any] = Field(default_factory=dict)
    budgets: dict[str, Any] = Field(default_factory=dict)
    targets: dict[str, Any] = Field(default_factory=dict)
    issue_labels: tuple[Label, ...] | None = None
    goals: Goals | None = Field(default=None, description="instead of the planner's; an empty text for none")

    @field_validator("budgets")
    @classmethod
    def _are_for_one(cls, budgets: dict[str, Any]) -> dict[str, Any]:
        for name in ("day", "month"):
            if name in budgets:
                raise ValueError(
                    f"{name} is for all repositories together: set it in [budgets.{name}]; `repository` limits one, by "
                    "the month"
                )
        return budgets
