"""A webhook's deliveries as GitHub lists them, page by page; asking for one again; and setting the webhook's secret.

The same requests serve a repository's webhook and an App's, which asks as itself. A repository's needs the permission
Webhooks, read to list and write for the rest.
https://docs.github.com/rest/repos/webhooks and https://docs.github.com/rest/apps/webhooks
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from squire_pipelines.domain.delivery_gaps import APP_HOOK_NAME, DeliveryAttempt
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.secrets import Secret

MAX_PAGES = 40
"""The most that one comparison reads, of a hundred attempts a page."""

_PER_PAGE = 100
_UNDER_WAY = (None, "", "pending")
_MAX_GUID, _MAX_EVENT = 100, 100


@dataclass(frozen=True, slots=True)
class HookAddress:
    """A webhook: `name` is the repository's, or `app`; `path` is where GitHub's REST API has it."""

    name: str
    path: str


APP_HOOK = HookAddress(APP_HOOK_NAME, "/app/hook")


def repository_hook(repository: str, webhook_id: int) -> HookAddress:
    """Return the address of a repository's webhook."""
    return HookAddress(repository, f"/repos/{repository}/hooks/{webhook_id}")


@dataclass(frozen=True, slots=True)
class DeliveryListing:
    """What GitHub lists, the newest first; `is_whole` is False where there was more than one comparison reads."""

    attempts: tuple[DeliveryAttempt, ...]
    is_whole: bool = True


async def list_deliveries(
    client: GitHubClient, hook: HookAddress, *, since: datetime, most_pages: int = MAX_PAGES
) -> DeliveryListing:
    """Return the attempts to deliver since a moment, the newest first. Raises GitHubError."""
    attempts: list[DeliveryAttempt] = []
    params: dict[str, str | int] = {"per_page": _PER_PAGE}
    for _ in range(most_pages):
        page, cursor = await client.get_page(f"{hook.path}/deliveries", params)
        listed = tuple(read_attempts(page))
        attempts += (attempt for attempt in listed if attempt.at >= since)
        if cursor is None or any(attempt.at < since for attempt in listed):
            return DeliveryListing(tuple(attempts))
        params["cursor"] = cursor
    return DeliveryListing(tuple(attempts), is_whole=False)


def read_attempts(answer: Any) -> Iterator[DeliveryAttempt]:
    """Yield the attempts of GitHub's answer; what is none is passed over."""
    for entry in answer if isinstance(answer, list) else ():
        if not isinstance(entry, dict) or type(entry.get("id")) is not int or not isinstance(entry.get("guid"), str):
            continue
        try:
            at = datetime.fromisoformat(str(entry.get("delivered_at")))
        except ValueError:
            continue
        status, about, action = entry.get("status_code"), entry.get("repository_id"), entry.get("action")
        yield DeliveryAttempt(
            id=entry["id"],
            guid=entry["guid"][:_MAX_GUID],
            at=at if at.tzinfo else at.replace(tzinfo=UTC),
            status=status if isinstance(status, int) else 0,
            event=str(entry.get("event") or "")[:_MAX_EVENT],
            action=str(action)[:_MAX_EVENT] if action else None,
            repository_id=about if isinstance(about, int) else None,
            is_redelivery=entry.get("redelivery") is True,
            is_under_way=not status and entry.get("status") in _UNDER_WAY,
        )


async def ask_again(client: GitHubClient, hook: HookAddress, attempt_id: int) -> None:
    """Have GitHub deliver once more what an attempt was to deliver, under the same GUID. Raises GitHubError.

    Repeating it delivers it twice, of which the second is known already.
    """
    await client.post(f"{hook.path}/deliveries/{attempt_id}/attempts", {}, repeatable=True)


async def app_hook_url(client: GitHubClient) -> str:
    """Return where the App's webhook leads; an empty text where it has none. Raises GitHubError."""
    answer = await client.get(f"{APP_HOOK.path}/config")
    return str(answer.get("url") or "") if isinstance(answer, dict) else ""


async def ping_hook(client: GitHubClient, hook: HookAddress) -> None:
    """Have GitHub send a ping through a repository's webhook; an App's has no such request. Raises GitHubError."""
    await client.post(f"{hook.path}/pings", {})


async def set_secret(client: GitHubClient, hook: HookAddress, secret: Secret) -> None:
    """Have GitHub sign what it delivers from now on with a secret. Raises GitHubError, which never shows it."""
    await client.patch(f"{hook.path}/config", {"secret": secret.reveal()}, is_secret=True)
