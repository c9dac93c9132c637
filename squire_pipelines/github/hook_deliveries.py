"""A webhook's deliveries as GitHub lists them, page by page; asking for one again; and setting the webhook's secret.

The same requests serve a repository's webhook and an App's, which asks as itself. A repository's needs the permission
Webhooks, read to list and write for the rest.
https://docs.github.com/rest/repos/webhooks and https://docs.github.com/rest/apps/webhooks
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from squire_pipelines.domain.delivery_gaps import APP_HOOK_NAME, DeliveryAttempt
from squire_pipelines.github import protocol
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.secrets import Secret

MAX_PAGES = 40
"""The most that one comparison reads, of a hundred attempts a page."""

_PER_PAGE = 100
_UNDER_WAY = (None, "", "pending")
_MAX_GUID, _MAX_EVENT, _MAX_STATUS = 100, 100, 999
_MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class HookAddress:
    """A webhook: `name` is the repository's, or `app`; `path` is where GitHub's REST API has it.

    `webhook_id` is the number of a repository's; an App's has none.
    """

    name: str
    path: str
    webhook_id: int | None = None


APP_HOOK = HookAddress(APP_HOOK_NAME, "/app/hook")


def repository_hook(repository: str, webhook_id: int) -> HookAddress:
    """Return the address of a repository's webhook."""
    return HookAddress(repository, f"/repos/{repository}/hooks/{webhook_id}", webhook_id)


@dataclass(frozen=True, slots=True)
class DeliveryListing:
    """What GitHub lists, the newest first.

    Args:
        attempts: Each once.
        since: From when on all are listed.
        is_whole: False where there was more than one comparison reads, or the list comes round to where it was.
        unreadable: How many entries are none of GitHub's form.
    """

    attempts: tuple[DeliveryAttempt, ...]
    since: datetime
    is_whole: bool = True
    unreadable: int = 0


async def list_deliveries(
    client: GitHubClient, hook: HookAddress, *, since: datetime, now: datetime, most_pages: int = MAX_PAGES
) -> DeliveryListing:
    """Return the attempts to deliver since a moment, the newest first. Raises GitHubError."""
    attempts: dict[int, DeliveryAttempt] = {}
    params: dict[str, str | int] = {"per_page": _PER_PAGE}
    cursors: set[str] = set()
    unreadable, is_whole = 0, False
    for _ in range(most_pages):
        page, cursor = await client.get_page(f"{hook.path}/deliveries", params)
        if not isinstance(page, list):
            raise protocol.unreadable_answer(f"GET {hook.path}/deliveries", "it is no list")
        listed = tuple(read_attempts(page[:_PER_PAGE], now=now, webhook_id=hook.webhook_id))
        unreadable += len(page) - len(listed)
        attempts.update((attempt.id, attempt) for attempt in listed if attempt.at >= since)
        is_whole = cursor is None or any(attempt.at < since for attempt in listed)
        if cursor is None or is_whole or cursor in cursors:
            break
        cursors.add(cursor)
        params["cursor"] = cursor
    ordered = _newest_first(attempts.values())
    whole_since = since if is_whole or not ordered else ordered[-1].at
    return DeliveryListing(ordered, whole_since, is_whole=is_whole, unreadable=unreadable)


def merge_listings(listings: Sequence[DeliveryListing]) -> DeliveryListing:
    """Return what GitHub lists of several webhooks as one list. There is at least one."""
    return DeliveryListing(
        _newest_first(attempt for listing in listings for attempt in listing.attempts),
        max(listing.since for listing in listings),
        is_whole=all(listing.is_whole for listing in listings),
        unreadable=sum(listing.unreadable for listing in listings),
    )


def _newest_first(attempts: Iterable[DeliveryAttempt]) -> tuple[DeliveryAttempt, ...]:
    return tuple(sorted(attempts, key=lambda attempt: (attempt.at, attempt.id), reverse=True))


def read_attempts(entries: list[Any], *, now: datetime, webhook_id: int | None = None) -> Iterator[DeliveryAttempt]:
    """Yield the attempts of GitHub's answer; what is none is passed over. One of a later time than now is of now."""
    for entry in entries:
        guid = entry.get("guid") if isinstance(entry, dict) else None
        if not isinstance(guid, str) or not 0 < len(guid) <= _MAX_GUID or not (guid.isascii() and guid.isprintable()):
            continue
        number = _number(entry.get("id"))
        try:
            at = datetime.fromisoformat(str(entry.get("delivered_at")))
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            continue
        if number is None:
            continue
        status, action = _number(entry.get("status_code"), most=_MAX_STATUS) or 0, entry.get("action")
        yield DeliveryAttempt(
            id=number,
            guid=guid,
            at=min(at, now),
            status=status,
            event=str(entry.get("event") or "")[:_MAX_EVENT],
            action=str(action)[:_MAX_EVENT] if action else None,
            repository_id=_number(entry.get("repository_id")),
            is_redelivery=entry.get("redelivery") is True,
            is_under_way=not status and entry.get("status") in _UNDER_WAY,
            webhook_id=webhook_id,
        )


def _number(value: Any, *, most: int = _MAX_NUMBER) -> int | None:
    """Return a number of GitHub's, which a database can have; None for what is none."""
    return value if type(value) is int and 0 <= value <= most else None


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
