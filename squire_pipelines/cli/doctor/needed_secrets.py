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
    used = {use.provider.secret for use in provider_uses(settings)}
    unused = "github-token" if settings.github.app_id else "github-app-key"
    yield from check_places(settings.secret_sources, all_names(settings.named_secrets))
    for secret in secret_statuses(settings.secret_sources, settings.named_secrets):
        name = secret.name
        if secret.is_broken:
            yield Diagnosis(name, "fail", secret.problem)
        elif secret.is_found:
            yield Diagnosis(name, "ok", secret.where)
        elif name == SecretName.WEBHOOK_SECRET_OLD:
            yield Diagnosis(name, "ok", "not set, and only of use while webhook-secret is rotated")
        elif name == SecretName.OTLP_HEADERS:
            yield Diagnosis(name, "ok", "not set, and only of use where traces are sent with headers")
        elif name in settings.files.secret_names:
            yield Diagnosis(name, "ok", "not set: the store of files is reached as the cloud's own programs reach it")
        elif name in settings.provider_secrets and name not in used:
            yield Diagnosis(name, "ok", "not set, and no model of its provider is set")
        elif name != unused:
            why = _NEEDED_FOR.get(name) or _user_of(name, settings)
            step = secret.problem or f"run `squire secrets set {name}`, or set {variables_of(name)[0]}"
            if is_demo(context.home):
                step = DEMO_STEP
            yield Diagnosis(name, "warn", "missing", f"{step} ({why})")


def _user_of(name: str, settings: "Settings") -> str:
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
