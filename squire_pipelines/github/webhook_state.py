"""What GitHub says of the webhook that leads to this Squire: is there one, and how did its last delivery end.

A repository's webhook is asked for its last answer. An App's tells its last deliveries.
https://docs.github.com/rest/repos/webhooks and https://docs.github.com/rest/apps/webhooks
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from squire_pipelines.github.client import GitHubClient

PATH = "/webhooks/github"
OLD_PATH = "/webhook"
"""Where the old product received, and the receiver does too. Others have such addresses: one of our host counts."""

_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a repository.

    Args:
        id: Its number.
        url: Where GitHub sends its deliveries, without user and query.
        is_active: Whether it sends any.
        status: Of the answer to the last delivery, None when there was none or nothing answered.
        message: How the last delivery ended, in GitHub's words.
    """

    id: int
    url: str
    is_active: bool
    status: int | None = None
    message: str = ""


async def our_webhooks(client: GitHubClient, repository: str, *, public_url: str | None = None) -> tuple[Webhook, ...]:
    """Return the repository's webhooks whose address ends as the receiver's does. Raises GitHubError.

    The token needs the permission Webhooks (read). `public_url` is where GitHub reaches the receiver.
    """
    answer = await client.get(f"/repos/{repository}/hooks", {"per_page": _PER_PAGE})
    return tuple(read_webhooks(answer, public_url=public_url))


def read_webhooks(answer: Any, *, public_url: str | None = None) -> Iterator[Webhook]:
    """Yield the webhooks of GitHub's answer that are for a receiver of Squire's."""
    host = urlsplit(public_url or "").netloc
    for entry in answer if isinstance(answer, list) else ():
        config = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(config, dict) or not isinstance(entry.get("id"), int):
            continue
        parts = urlsplit(str(config.get("url") or ""))
        path, is_our_host = parts.path.rstrip("/"), bool(host) and parts.netloc.rpartition("@")[2] == host
        if not path.endswith(PATH) and not (is_our_host and path.endswith(OLD_PATH)):
            continue
        last = entry.get("last_response")
        last = last if isinstance(last, dict) else {}
        code = last.get("code")
        yield Webhook(
            entry["id"],
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
            entry.get("active") is not False,
            code if isinstance(code, int) and code else None,
            str(last.get("message") or "")[:200],
        )


@dataclass(frozen=True, slots=True)
class AppDelivery:
    """One delivery to an App's webhook: when, of which event, and how it was answered."""

    delivered_at: str
    event: str
    status: int


def read_app_deliveries(answer: Any) -> tuple[AppDelivery, ...]:
    """Return the deliveries of GitHub's answer to `GET /app/hook/deliveries`, the newest first."""
    return tuple(
        AppDelivery(
            str(entry.get("delivered_at") or "")[:40],
            str(entry.get("event") or "")[:100],
            entry["status_code"],
        )
        for entry in (answer if isinstance(answer, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("status_code"), int)
    )
