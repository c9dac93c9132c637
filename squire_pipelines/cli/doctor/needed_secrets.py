"""The checks of secrets by name: whether each that the settings have a use for is found, and where."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.secret_names import ALERT_WEBHOOK_KEY, BOARD_TOKEN, SecretName, variables_of

if TYPE_CHECKING:
    from squire_pipelines.settings.model import Settings


def check_secrets(context: CliContext) -> Iterator[Diagnosis]:
    """Check which secrets are found, of those that the settings have a use for."""
    from squire_pipelines.cli.doctor.secrets import DEMO_STEP, check_places, is_demo  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.secret_places import all_names  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.secrets import secret_statuses  # noqa: PLC0415 - likewise
    from squire_pipelines.settings.provider_uses import provider_uses  # noqa: PLC0415 - likewise

    settings = context.settings
    used = {use.secret for use in provider_uses(settings)}
    unused = "github-token" if settings.github.app_id else "github-app-key"
    yield from check_places(settings.secret_sources, all_names(settings.named_secrets))
    for secret in secret_statuses(settings.secret_sources, settings.named_secrets):
        name = secret.name
        if secret.is_broken:
            yield Diagnosis(name, "fail", secret.problem)
        elif secret.is_found:
            yield Diagnosis(name, "ok", secret.where)
        elif why_not := _why_not_needed(name, settings, used):
            yield Diagnosis(name, "ok", why_not)
        elif name != unused:
            why = _NEEDED_FOR.get(name) or _user_of(name, settings)
            step = secret.problem or f"run `squire secrets set {name}`, or set {variables_of(name)[0]}"
            if is_demo(context.home):
                step = DEMO_STEP
            yield Diagnosis(name, "warn", "missing", f"{step} ({why})")


def _why_not_needed(name: str, settings: "Settings", used: set[str]) -> str:
    """Return why nothing lacks a secret that is not set; empty where something does."""
    if "." in name:
        return _why_a_tenant_needs_it_not(name, settings, used)
    if name == SecretName.WEBHOOK_SECRET_OLD:
        return "not set, and only of use while webhook-secret is rotated"
    if name == SecretName.OTLP_HEADERS:
        return "not set, and only of use where traces are sent with headers"
    if name in settings.files.secret_names:
        return "not set: the store of files is reached as the cloud's own programs reach it"
    is_unused = name in settings.provider_secrets and name not in used
    return "not set, and no model of its provider is set" if is_unused else ""


def _why_a_tenant_needs_it_not(name: str, settings: "Settings", used: set[str]) -> str:
    """Return why a tenant does without a secret of its own that is not set; empty where it does not."""
    tenant, _, plain = name.partition(".")
    if plain in settings.secret_sources_of(tenant).house_secrets:
        return "not set: the tenant may use the house's"
    if plain in {SecretName.WEBHOOK_SECRET, SecretName.WEBHOOK_SECRET_OLD}:
        return "not set: deliveries about its repositories are verified with the house's"
    if plain == BOARD_TOKEN:
        return "not set: the tenant has no login to the board"
    is_key = plain in settings.for_tenant(tenant).provider_secrets
    return "not set, and no model of its provider is set" if is_key and name not in used else ""


def _user_of(name: str, settings: "Settings") -> str:
    if name.endswith((f".{SecretName.GITHUB_TOKEN}", f".{SecretName.GITHUB_APP_KEY}")):
        return "without it the tenant's repositories are not read"
    if name in settings.hook_secrets:
        return "the receiver does not start without the secrets of the senders in [hooks]"
    if name in settings.webhooks.secret_names:
        return "webhooks.secrets names it, and without it the receiver does not start"
    if name in settings.alerts.secret_names:
        return "its target in alerts.apprise needs it"
    return "the model that the settings name needs it"


_NEEDED_FOR = {
    "github-token": "reading from GitHub and pushing to it need it, the demo does not",
    "github-app-key": "the GitHub App that the settings name needs it",
    ALERT_WEBHOOK_KEY: "without it messages to alerts.webhook_url are not signed",
    BOARD_TOKEN: "board.login wants it, and without it the board does not start",
    "webhook-secret": "without it no delivery is accepted, and only the schedule makes Squire read the repositories",
}
