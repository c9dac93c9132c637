"""What GitHub says of the webhook that leads to this Squire: is there one, and how did its last delivery end.

A repository's webhook is asked for its last answer. An App's tells its last deliveries.
https://docs.github.com/rest/repos/webhooks and https://docs.github.com/rest/apps/webhooks
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from squire_pipelines.github import protocol
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
    if not isinstance(answer, list):
        raise protocol.unreadable_answer(f"GET /repos/{repository}/hooks", "it is no list")
    return tuple(read_webhooks(answer[:_PER_PAGE], public_url=public_url))


def read_webhooks(answer: list[Any], *, public_url: str | None = None) -> Iterator[Webhook]:
    """Yield the webhooks of GitHub's answer that are for a receiver of Squire's."""
    host = host_of(public_url or "")
    for entry in answer:
        config = entry.get("config") if isinstance(entry, dict) else None
        if not isinstance(config, dict) or type(entry.get("id")) is not int:
            continue
        parts = _split(str(config.get("url") or ""))
        path, is_our_host = parts.path.rstrip("/"), bool(host) and _host(parts) == host
        if not path.endswith(PATH) and not (is_our_host and path.endswith(OLD_PATH)):
            continue
        last = entry.get("last_response")
        last = last if isinstance(last, dict) else {}
        code = last.get("code")
        yield Webhook(
            entry["id"],
            f"{parts.scheme}://{_host(parts)}{parts.path}",
            entry.get("active") is not False,
            code if type(code) is int and code else None,
            str(last.get("message") or "")[:200],
        )


def host_of(url: str) -> str:
    """Return the host and port of an address, without a user; an empty text where it has none or is malformed."""
    return _host(_split(url))


def leads_to_receiver(url: str) -> bool:
    """Return whether an address ends as the receiver's does."""
    return _split(url).path.rstrip("/").endswith(PATH)


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _split(url: str) -> SplitResult:
    """Return the parts of an address that somebody entered at GitHub; empty ones where it is malformed."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")


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
