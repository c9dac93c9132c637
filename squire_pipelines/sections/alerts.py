"""The section `[alerts]`: to whom alerts go, and what the rules' defaults are changed to."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from squire_pipelines.domain.alert_rules import DEFAULT_POLICIES, AlertRule, RulePolicy, policies_of
from squire_pipelines.secret_names import ALERT_WEBHOOK_KEY, alert_target_secret
from squire_pipelines.sections.hidden_values import HIDDEN
from squire_pipelines.sections.types import Seconds, SecondsOrNone, SecretUrl, SettingsSection, matching

MAX_TARGETS = 10
WEBHOOK = "webhook"
"""The name of `webhook_url`'s target."""

# Hidden, since a URL with its token is likely to be written where its name belongs.
TargetName = Annotated[
    str, matching(r"[a-z][a-z0-9]{0,30}", "not the name of a target: small letters and digits, like ops"), HIDDEN
]


def _check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("names the same target twice")
    if WEBHOOK in names:
        raise ValueError(f"`{WEBHOOK}` is the name of alerts.webhook_url's target: choose another")
    return names


ApprisedTargets = Annotated[tuple[TargetName, ...], Field(max_length=MAX_TARGETS), AfterValidator(_check_names)]


class AlertRuleSettings(SettingsSection):
    """What of one rule's defaults is changed; docs/guide/alerts.md has the rules with their defaults."""

    enabled: bool | None = Field(default=None, description="whether the rule is applied")
    threshold: int | None = Field(default=None, ge=1, le=100_000, description="of rules that count: from when on")
    after_s: SecondsOrNone | None = Field(default=None, description="how long a warning has to last before it is sent")
    repeat_after_s: SecondsOrNone | None = Field(
        default=None, description="after how long it is sent again while it lasts; 0 for never"
    )

    @property
    def changes(self) -> dict[str, Any]:
        """What it changes of a `RulePolicy`."""
        values = {
            "is_enabled": self.enabled,
            "threshold": self.threshold,
            "after_s": self.after_s,
            "repeat_after_s": self.repeat_after_s,
        }
        return {name: value for name, value in values.items() if value is not None}


def _check_thresholds(rules: dict[AlertRule, AlertRuleSettings]) -> dict[AlertRule, AlertRuleSettings]:
    counting = [rule for rule, policy in DEFAULT_POLICIES.items() if policy.threshold is not None]
    for rule, table in rules.items():
        if table.threshold is not None and rule not in counting:
            raise ValueError(f"{rule} has no threshold: only {', '.join(counting)} count something")
    return rules


class AlertSettings(SettingsSection):
    """Who is told what is wrong, and from when on. The operator's endpoint sends."""

    webhook_url: SecretUrl | None = Field(
        default=None, description=f"gets a JSON object by POST, signed with the secret {ALERT_WEBHOOK_KEY}"
    )
    apprise: ApprisedTargets = Field(
        default=(), description="names of further targets; the URL of NAME is the secret alert-NAME-token"
    )
    budget_share: float = Field(default=0.8, gt=0, le=1, description="of a budget, from which on it is a warning")
    keep_s: Seconds = Field(default=86_400, description="how long a message waits for a target that is away")
    max_queued: int = Field(default=100, ge=1, le=10_000, description="messages that wait for one target")
    rules: Annotated[dict[AlertRule, AlertRuleSettings], AfterValidator(_check_thresholds)] = Field(
        default_factory=dict
    )

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the targets, in the order in which they are listed."""
        return (*((WEBHOOK,) if self.webhook_url is not None else ()), *self.apprise)

    @property
    def policies(self) -> Mapping[AlertRule, RulePolicy]:
        """How each rule is applied."""
        return policies_of({rule: table.changes for rule, table in self.rules.items()})

    @property
    def keep(self) -> timedelta:
        """How long a message waits for a target that is away."""
        return timedelta(seconds=self.keep_s)

    @property
    def secret_names(self) -> tuple[str, ...]:
        """The names of the secrets that the targets need."""
        signing = (ALERT_WEBHOOK_KEY,) if self.webhook_url else ()
        return (*signing, *(alert_target_secret(name) for name in self.apprise))
