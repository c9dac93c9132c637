"""The checks of `squire doctor` about a GitHub App: what it was granted, and what the settings need of it."""

from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.github import permissions
from squire_pipelines.github.access import AppAccess, AppAsRegistered, Installation
from squire_pipelines.github.app_manifest import settings_url, web_url
from squire_pipelines.github.permissions import PermissionNeeds
from squire_pipelines.settings import Settings

_NAME = "github app"


async def check_app(access: AppAccess, settings: Settings) -> list[Diagnosis]:
    """Compare what an App asks its installations for with what the settings need. Raises GitHubError, ConfigError."""
    return compare_app(await access.about(), settings)


def compare_app(about: AppAsRegistered, settings: Settings) -> list[Diagnosis]:
    """Return what an App lacks and has too much of, with the page on which its owner changes it."""
    needs = permissions.needs_of_app(settings)
    page = settings_url(web_url(settings.github.api_url), about.organization, about.slug, "permissions")
    change = f"change it at {page}; the owners of the repositories then have to accept it"
    results = []
    if lacking := permissions.missing(about.permissions, needs.required):
        results.append(Diagnosis(_NAME, "fail", f"{about.slug} lacks {permissions.in_words(lacking)}", change))
    if lacking := permissions.missing(about.permissions, needs.useful):
        words = permissions.in_words(lacking)
        results.append(
            Diagnosis(_NAME, "warn", f"{about.slug} lacks {words}, which the settings have a use for", change)
        )
    if extra := permissions.surplus(about.permissions, needs.all):
        words = permissions.in_words(extra)
        results.append(
            Diagnosis(_NAME, "warn", f"{about.slug} may do more than is needed: {words}", f"take it away at {page}")
        )
    # Without a webhook an App has no events, and Squire reads by its schedule, or another webhook brings them.
    is_expected = bool(about.events) or settings.webhooks.public_url is not None
    if is_expected and (events := permissions.missing_events(about.events, needs)):
        results.append(
            Diagnosis(_NAME, "warn", f"{about.slug} is not sent {', '.join(events)}", f"subscribe to them at {page}")
        )
    return results or [
        Diagnosis(_NAME, "ok", f"{about.slug} has the permissions that the settings need, and no others")
    ]


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
