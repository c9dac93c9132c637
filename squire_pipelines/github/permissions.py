"""The narrowest permissions that Squire works with, by what its settings switch on, and what of them is missing. Pure.

The names are those of fine-grained tokens and of Apps:
https://docs.github.com/rest/authentication/permissions-required-for-github-apps
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from squire_pipelines.github.events import RELEVANT_ACTIONS, WITHOUT_ACTION
from squire_pipelines.settings.model import Settings

REQUIRED: Mapping[str, str] = MappingProxyType(
    {
        "metadata": "read",
        "contents": "write",
        "pull_requests": "write",
        "issues": "read",
        "checks": "read",
        "statuses": "read",
    }
)
"""Without one of these Squire cannot do its work."""

EVENT_PERMISSIONS: Mapping[str, str] = MappingProxyType(
    {
        "pull_request": "pull_requests",
        "pull_request_review": "pull_requests",
        "pull_request_review_comment": "pull_requests",
        "pull_request_review_thread": "pull_requests",
        "issues": "issues",
        "issue_comment": "issues",
        "check_run": "checks",
        "check_suite": "checks",
        "status": "statuses",
        "workflow_run": "actions",
        "push": "contents",
        "repository": "metadata",
    }
)
"""What an App needs to subscribe to each of the events that we read.

https://docs.github.com/webhooks/webhook-events-and-payloads
"""

_LEVELS = ("none", "read", "write", "admin")
_ONLY_TO_WRITE = frozenset({"workflows"})
"""GitHub has no level `read` of these: https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app."""


@dataclass(frozen=True, slots=True)
class PermissionNeeds:
    """What Squire needs: `required` for any work at all, `useful` for what the settings switch on."""

    required: Mapping[str, str]
    useful: Mapping[str, str]

    @property
    def all(self) -> dict[str, str]:
        """Both, by permission."""
        return {**self.required, **self.useful}

    @property
    def events(self) -> tuple[str, ...]:
        """The events that a webhook has to bring, in the order of their names."""
        events = (*RELEVANT_ACTIONS, *WITHOUT_ACTION)
        return tuple(sorted(event for event in events if EVENT_PERMISSIONS[event] in self.all))


def needs_in(settings: Settings, repository: str, *, of_app: bool | None = None) -> PermissionNeeds:
    """Return what is needed in one repository, of an App or of a token; None takes what the settings have.

    Actions is read for the names of failed workflows and the logs of their jobs, and written to run them again. Issues
    is written for the one issue that says what is wrong in the repository's own file, for announcements of proposed
    tasks, for a dashboard, and for reactions to comments; comments on pull requests need no more than pull requests.
    Checks is written by an App for its report on each commit, which a token can only set as a status.
    Workflows lets a branch be pushed that changes `.github/workflows`, once somebody has approved of it.
    """
    useful = {"actions": "write" if settings.ci_for(repository).rerun else "read"}
    follow = settings.follow_for(repository)
    says_on_issues = settings.planner.announce or settings.publishing.reactions or follow.dashboard
    if settings.trust_for(repository).repository_files or says_on_issues:
        useful["issues"] = "write"
    if follow.check_run:
        is_app = bool(settings.github.app_id) if of_app is None else of_app
        useful["checks" if is_app else "statuses"] = "write"
    if settings.policy_for(repository).workflows == "approve":
        useful["workflows"] = "write"
    return PermissionNeeds(REQUIRED, useful)


def needs_of_app(settings: Settings) -> PermissionNeeds:
    """Return what an App needs that is installed on all repositories of the settings: the highest of each level."""
    useful: dict[str, str] = {}
    for repository in settings.repositories or ("",):
        # One that is about to be made is not in the settings yet.
        for name, level in needs_in(settings, repository, of_app=True).useful.items():
            useful[name] = max(useful.get(name, "none"), level, key=_LEVELS.index)
    return PermissionNeeds(REQUIRED, useful)


def covers(granted: str | None, needed: str) -> bool:
    """Return whether one level includes another."""
    level = granted if granted in _LEVELS else "none"
    return _LEVELS.index(level) >= _LEVELS.index(needed)


def in_words(permissions: Mapping[str, str]) -> str:
    """Return permissions as messages have them: `checks: read, contents: write`."""
    return ", ".join(f"{name}: {level}" for name, level in permissions.items())


def missing(granted: Mapping[str, str], needed: Mapping[str, str] = REQUIRED) -> dict[str, str]:
    """Return what of `needed` is not in `granted`."""
    return {name: level for name, level in needed.items() if not covers(granted.get(name), level)}


def surplus(granted: Mapping[str, str], needed: Mapping[str, str]) -> dict[str, str]:
    """Return what is granted beyond what is needed. Metadata comes with every permission."""
    return {
        name: level
        for name, level in granted.items()
        if name != "metadata" and not covers(needed.get(name), level if level in _LEVELS else "admin")
    }


def missing_events(subscribed: Iterable[str], needs: PermissionNeeds) -> tuple[str, ...]:
    """Return the events that a webhook would have to bring and does not."""
    return tuple(sorted({*needs.events}.difference(subscribed)))


def to_request(granted: Mapping[str, str], needs: PermissionNeeds, *, write: bool) -> dict[str, str]:
    """Return the permissions to request for a token: no more than is needed, and reading alone unless `write`."""
    requested = dict(needs.required)
    for name, level in needs.useful.items():
        levels = (level,) if name in _ONLY_TO_WRITE else (level, "read")
        if (usable := next((one for one in levels if covers(granted.get(name), one)), None)) is not None:
            requested[name] = usable
    return requested if write else {name: "read" for name in requested if name not in _ONLY_TO_WRITE}
