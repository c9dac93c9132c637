"""The webhook of our own: a JSON object by POST, signed as https://www.standardwebhooks.com says."""

import asyncio
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
from squire_pipelines.trusted_certificates import tls_context

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
        timeout_s: How long a message may take in all.
    """

    def __init__(self, url: str, key: Secret | None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s
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
            asyncio.run(self._post(body, headers))
        except httpx.HTTPStatusError as error:
            raise _refusal(str(error.response.status_code)) from None
        except TimeoutError:
            raise _refusal(f"no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:  # such as a host that is no name
            raise _refusal(type(error).__name__) from None

    async def _post(self, body: bytes, headers: dict[str, str]) -> None:
        # The library's own limits are for each piece of an answer: one that trickles would never end.
        async with (
            asyncio.timeout(self._timeout_s),
            httpx.AsyncClient(verify=tls_context(), timeout=self._timeout_s, follow_redirects=False) as client,
            client.stream("POST", self._url, content=body, headers=headers) as answer,
        ):
            answer.raise_for_status()  # its body is not read: whoever answers without end keeps nobody


def _refusal(why: str) -> NotReachableError:
    return NotReachableError(
        f"the alert could not be delivered to alerts.webhook_url: {why}",
        hint="check alerts.webhook_url in the settings, and that its server answers",
    )
