"""To whom alerts go: the targets of the settings, each of which takes a message or says why it could not."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from squire_pipelines.alerting.webhook import WebhookTarget
from squire_pipelines.bounded_process import ProcessLimits, run_bounded
from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.secret_names import ALERT_WEBHOOK_KEY, alert_target_secret, is_secret_variable
from squire_pipelines.secrets.lookup import find_secret, require_secret
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.sections.alerts import WEBHOOK
from squire_pipelines.settings.model import Settings

APPRISE_TIMEOUT_S = 20.0
_CHILD_TIMEOUT_S = APPRISE_TIMEOUT_S + 10.0
_MAX_OUTPUT = 64 * 1024
MAX_ORDER_BYTES = 60_000
"""Of what is handed to the process: a pipe takes 64 KiB at once."""

_CUT = "\n(cut: `squire alerts list` shows all)"
_REPEATED = "This may be a repetition: it is not known whether an earlier try has arrived."
_NOT_INSTALLED = "install squire-pipelines[alerts] where `squire dev` or `squire metrics serve` runs"

Send = Callable[[str, AlertMessage, bool], None]


@dataclass(frozen=True, slots=True)
class AlertTarget:
    """A target.

    Args:
        name: By which messages, commands and logs name it.
        kind: `webhook` or `apprise`.
        send: Sends a message: its id, what it says, and whether an earlier try may have arrived. Raises SquireError.
        is_of_tenant: Whether it gets one tenant's alerts alone; its name is then TENANT.NAME.
    """

    name: str
    kind: str
    send: Send
    is_of_tenant: bool = False


def targets_of(settings: Settings) -> tuple[AlertTarget, ...]:
    """Return the targets of the settings, then those of tenants. Secrets are looked for when something is sent."""
    of_tenants = (
        replace(target, name=tenant_target(tenant, target.name), is_of_tenant=True)
        for tenant in settings.tenants
        for target in _own_targets(settings.for_tenant(tenant))
    )
    return (*_own_targets(settings), *of_tenants)


def tenant_target(tenant: str, name: str) -> str:
    """Return how messages to a tenant's target are queued and named."""
    return f"{tenant}.{name}"


def _own_targets(settings: Settings) -> tuple[AlertTarget, ...]:
    targets = [AlertTarget(name, "apprise", _apprise_sender(settings, name)) for name in settings.alerts.apprise]
    url = settings.alerts.webhook_url
    if url is not None:
        targets.insert(0, AlertTarget(WEBHOOK, "webhook", _webhook_sender(settings, url)))
    return tuple(targets)


def _webhook_sender(settings: Settings, url: str) -> Send:
    def send(message_id: str, message: AlertMessage, is_repeated: bool) -> None:  # noqa: FBT001, ARG001 - a receiver knows by the id
        key = find_secret(ALERT_WEBHOOK_KEY, settings.secret_sources)
        WebhookTarget(url, key).send(message_id, message, at=datetime.now(UTC))

    return send


def _apprise_sender(settings: Settings, name: str) -> Send:
    def send(_message_id: str, message: AlertMessage, is_repeated: bool) -> None:  # noqa: FBT001 - the type's signature
        url = require_secret(alert_target_secret(name), settings.secret_sources)
        send_by_apprise(name, url, message, is_repeated=is_repeated)

    return send


def send_by_apprise(
    name: str, url: Secret, message: AlertMessage, *, is_repeated: bool, timeout_s: float = _CHILD_TIMEOUT_S
) -> None:
    """Send a message with Apprise, in a process of its own that ends in time whatever the service does.

    Args:
        name: Of the target, for errors: its URL is a secret.
        url: Of Apprise: https://appriseit.com/services/.
        message: What to send.
        is_repeated: Whether an earlier try may have arrived.
        timeout_s: How long the process may take.

    Raises:
        ConfigError: Apprise is not installed, or does not know the URL.
        NotReachableError: The service did not take it.
    """
    if importlib.util.find_spec("apprise") is None:
        raise ConfigError("alerts.apprise needs Apprise, which is not installed", hint=_NOT_INSTALLED)
    body = f"{message.body}\n{_REPEATED}" if is_repeated else message.body
    answer = _run_child(apprise_order(url, message.title, body), timeout_s)
    if answer == "sent":
        return
    secret = alert_target_secret(name)
    if answer == "unknown":
        raise ConfigError(
            f"Apprise does not know the URL in the secret {secret}",
            hint=f"`squire secrets set {secret}` with a URL as https://appriseit.com/services/ has them",
        )
    raise NotReachableError(
        f"the alert could not be delivered to {name}: {answer}",
        hint=f"check the secret {secret}, and that the service answers: `squire alerts test {name}`",
    )


def apprise_order(url: Secret, title: str, body: str) -> bytes:
    """Return what the process is told as JSON, of a length that a pipe takes at once: the end of a long body is cut."""
    order = {"url": url.reveal(), "title": title, "body": body, "timeout_s": APPRISE_TIMEOUT_S}
    encoded = json.dumps(order, ensure_ascii=False).encode()
    if (excess := len(encoded) - MAX_ORDER_BYTES) > 0:
        # A byte of text is at least one of JSON, so that no less than the excess goes.
        shorter = body.encode()[: -excess - 2 * len(_CUT)].decode(errors="ignore")
        encoded = json.dumps(order | {"body": shorter + _CUT}, ensure_ascii=False).encode()
    return encoded


def _run_child(order: bytes, timeout_s: float) -> str:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin:
        with os.fdopen(writing, "wb") as pipe:  # a secret is in it: never in an argument or a file
            pipe.write(order)
        command = (sys.executable, "-m", "squire_pipelines.alerting.apprise_child")
        output = run_bounded(
            command, environment=_environment(os.environ), stdin=stdin, limits=ProcessLimits(timeout_s, _MAX_OUTPUT)
        )
    if output.timed_out:
        return f"no answer within {timeout_s:.0f} s"
    words = output.stdout.decode(errors="replace").split()
    return words[-1] if words and words[-1] in {"sent", "unknown", "refused"} else "its process failed"


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not is_secret_variable(name)}
