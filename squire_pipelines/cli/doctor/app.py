"""The checks of `squire doctor` about a GitHub App: what it was granted, and what the settings need of it."""

from squire_pipelines.cli.diagnosis import Diagnosis, Status
from squire_pipelines.github import permissions
from squire_pipelines.github.access import AppAccess, AppAsRegistered, Installation
from squire_pipelines.github.app_manifest import settings_url
from squire_pipelines.github.permissions import PermissionNeeds
from squire_pipelines.settings.model import Settings

_NAME = "github app"
_USE = ", which the settings have a use for"


async def check_app(access: AppAccess, settings: Settings) -> list[Diagnosis]:
    """Compare what an App asks its installations for with what the settings need. Raises GitHubError, ConfigError."""
    return compare_app(await access.about(), settings)


def compare_app(about: AppAsRegistered, settings: Settings) -> list[Diagnosis]:
    """Return what an App lacks and has too much of, with the page on which its owner changes it."""
    needs = permissions.needs_of_app(settings)
    page = settings_url(settings.github.web_url, about.organization, about.slug, "permissions")
    change = f"change it at {page}; the owners of the repositories then have to accept it"
    results: list[Diagnosis] = []

    def tell(status: Status, message: str, step: str) -> None:
        results.append(Diagnosis(_NAME, status, f"{about.slug} {message}", step))

    if lacking := permissions.missing(about.permissions, needs.required):
        tell("fail", f"lacks {permissions.in_words(lacking)}", change)
    # Of one that lacks all, one line is enough.
    further = {name: level for name, level in needs.useful.items() if name not in lacking}
    if lacking := permissions.missing(about.permissions, further):
        tell("warn", f"lacks {permissions.in_words(lacking)}{_USE}", change)
    if extra := permissions.surplus(about.permissions, needs.all):
        tell("warn", f"may do more than is needed: {permissions.in_words(extra)}", f"take it away at {page}")
    # Without a webhook an App has no events: the schedule has the repositories read, or another webhook does.
    is_expected = bool(about.events) or settings.webhooks.public_url is not None
    if is_expected and (events := permissions.missing_events(about.events, needs)):
        tell("warn", f"is not sent {', '.join(events)}", f"subscribe to them at {page}")
    if not results:
        tell("ok", "has the permissions that the settings need, and no others", "")
    return results


def check_installation(name: str, installation: Installation, needs: PermissionNeeds) -> Diagnosis:
    """Return whether the owner of a repository has granted an App what is needed there."""
    if lacking := permissions.missing(installation.granted, needs.required):
        return Diagnosis(name, "fail", f"the App lacks {permissions.in_words(lacking)}", _accept(installation))
    if lacking := permissions.missing(installation.granted, needs.useful):
        words = permissions.in_words(lacking)
        return Diagnosis(
            name, "warn", f"the App lacks {words}, which the settings have a use for", _accept(installation)
        )
    return Diagnosis(name, "ok", "the App has the permissions that it needs")


def _accept(installation: Installation) -> str:
    place = f" at {installation.page}" if installation.page else ""
    return f"once the App itself asks for them, the owner accepts them{place}"
