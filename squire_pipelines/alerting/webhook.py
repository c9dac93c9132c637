"""The webhook of our own: a JSON object by POST, signed as https://www.standardwebhooks.com says."""

import json
from datetime import datetime
from typing import Any

import httpx

from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.domain.standard_webhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    decode_key,
    sign_message,
)
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.secret_names import ALERT_WEBHOOK_KEY
from squire_pipelines.secrets.secret import Secret

TIMEOUT_S = 10.0


def signing_key(secret: Secret) -> bytes:
    """Return the key in a secret. Raises ConfigError for one that can be none."""
    try:
        return decode_key(secret.reveal())
    except ValueError as error:
        raise ConfigError(
            f"the secret {ALERT_WEBHOOK_KEY} cannot be a key: {error}",
            hint=f"`squire secrets set {ALERT_WEBHOOK_KEY}` with the whole key, as its receiver has it",
        ) from None


def payload(message_id: str, message: AlertMessage) -> dict[str, Any]:
    """Return what is posted. `text` alone is what Slack, Mattermost and others show."""
    return {
        "type": "squire.alerts",
        "id": message_id,
        "text": f"{message.title}\n{message.body}",
        "title": message.title,
        "alerts": list(message.alerts),
    }


class WebhookTarget:
    """Posts messages to one URL.

    Args:
        url: Of the receiver; it may hold a token, and is in no error.
        key: Of the signature; None for none.
    """

    def __init__(self, url: str, key: Secret | None) -> None:
        self._url = url
        self._key = signing_key(key) if key is not None else None

    def send(self, message_id: str, message: AlertMessage, *, at: datetime) -> None:
        """Post a message. A receiver that gets an id twice has got the same message twice.

        Raises:
            NotReachableError: The receiver did not take it.
        """
        body = json.dumps(payload(message_id, message), ensure_ascii=False).encode()
        timestamp = int(at.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "squire",
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(timestamp),
        }
        if self._key is not None:
            headers[SIGNATURE_HEADER] = sign_message(self._key, message_id, timestamp, body)
        try:
            with httpx.stream(
                "POST", self._url, content=body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False
            ) as answer:  # its body is not read: whoever answers without end keeps nobody
                answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = str(error.response.status_code) if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
            raise NotReachableError(
                f"the alert could not be delivered to alerts.webhook_url: {why}",
                hint="check alerts.webhook_url in the settings, and that its server answers",
            ) from None
