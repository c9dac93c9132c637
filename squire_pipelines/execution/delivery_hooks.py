"""The webhooks at GitHub that lead to this receiver, as far as the credentials may see them: the App's, or each one's.

With an App its own webhook counts, which brings the deliveries of all repositories; else those of the repositories.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.hook_deliveries import APP_HOOK, HookAddress, app_hook_url, repository_hook
from squire_pipelines.github.webhook_state import PATH, Webhook, host_of, leads_to_receiver, our_webhooks
from squire_pipelines.settings.model import Settings

AT_ONCE = 4
_HIDDEN_HINT = "give the token the permission Webhooks (read and write) for the repository"
_NO_HOOK_HINT = f"add a webhook in the repository's settings, whose address ends with {PATH}"
_NO_APP_HOOK_HINT = "enter the receiver's address on the App's page, Webhook, and switch it on"


@dataclass(frozen=True, slots=True)
class OwnHook:
    """A webhook that leads to this receiver.

    Args:
        address: Where GitHub's API has it.
        is_active: Whether it sends anything; an App does not tell of its own.
        is_certain: Whether no other receiver can be meant: its host is that of `webhooks.public_url`, or all such
            webhooks of the repository have one host.
        siblings: The other webhooks of the repository at the same host, which lead here too.
    """

    address: HookAddress
    is_active: bool = True
    is_certain: bool = True
    siblings: tuple["OwnHook", ...] = ()

    @property
    def name(self) -> str:
        """The repository, or `app`."""
        return self.address.name


@dataclass(frozen=True, slots=True)
class UnseenHook:
    """A repository, or `app`, whose webhook cannot be asked about.

    Args:
        name: The repository, or `app`.
        reason: Why.
        hint: What to do about it.
        is_lasting: Whether asking again changes nothing.
        is_absent: Whether there is none.
    """

    name: str
    reason: str
    hint: str
    is_lasting: bool = True
    is_absent: bool = False


@dataclass(frozen=True, slots=True)
class RepositoryWebhooks:
    """The webhooks of a repository whose addresses end as the receiver's does, or why GitHub does not show them."""

    repository: str
    webhooks: tuple[Webhook, ...] = ()
    error: GitHubError | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether the token may not see them, or the repository."""
        return isinstance(self.error, GitHubNotFoundError | GitHubPermissionError)


@dataclass(frozen=True, slots=True)
class HookSurvey:
    """What was seen of webhooks: one of each repository, or the App's."""

    hooks: tuple[OwnHook, ...] = ()
    unseen: tuple[UnseenHook, ...] = ()

    @property
    def every_hook(self) -> tuple[OwnHook, ...]:
        """All webhooks that lead here, also where a repository has several."""
        return tuple(one for hook in self.hooks for one in (hook, *hook.siblings))


def hook_client(github: GitHub) -> AbstractAsyncContextManager[GitHubClient]:
    """Return the client that asks about webhooks: as the App itself where there is one. Raises ConfigError."""
    return github.app_client() or github.client()


async def survey_hooks(settings: Settings, client: GitHubClient, repositories: Sequence[str]) -> HookSurvey:
    """Return the webhooks that lead here: the App's, or those of `repositories`. What one hides keeps no other back."""
    public_url = settings.webhooks.public_url
    if settings.github.app_id:
        answers = [await _app_hook(client)]
    else:
        read = await read_repositories(client, repositories, public_url=public_url)
        answers = [_hook_of(one, public_url) for one in read]
    hooks = (answer for answer in answers if isinstance(answer, OwnHook))
    return HookSurvey(tuple(hooks), tuple(answer for answer in answers if isinstance(answer, UnseenHook)))


async def read_repositories(
    client: GitHubClient, repositories: Sequence[str], *, public_url: str | None
) -> tuple[RepositoryWebhooks, ...]:
    """Return the webhooks of repositories. What GitHub answers about one keeps no other back."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def read(repository: str) -> RepositoryWebhooks:
        async with turns:
            try:
                return RepositoryWebhooks(repository, await our_webhooks(client, repository, public_url=public_url))
            except GitHubError as error:
                return RepositoryWebhooks(repository, error=error)

    return tuple(await asyncio.gather(*map(read, repositories)))


async def _app_hook(client: GitHubClient) -> OwnHook | UnseenHook:
    try:
        url = await app_hook_url(client)
    except (GitHubNotFoundError, GitHubPermissionError):
        url = ""
    except GitHubError as error:
        return UnseenHook(APP_HOOK.name, error.message, error.hint, is_lasting=False)
    if not leads_to_receiver(url):
        return UnseenHook(
            APP_HOOK.name, "the App has no webhook that leads to Squire", _NO_APP_HOOK_HINT, is_absent=True
        )
    return OwnHook(APP_HOOK)


def _hook_of(read: RepositoryWebhooks, public_url: str | None) -> OwnHook | UnseenHook:
    repository, webhooks = read.repository, read.webhooks
    if read.is_hidden:
        return UnseenHook(repository, "GitHub does not show its webhooks to the token", _HIDDEN_HINT)
    if read.error is not None:
        return UnseenHook(repository, read.error.message, read.error.hint, is_lasting=False)
    if not webhooks:
        return UnseenHook(repository, "no webhook leads to Squire", _NO_HOOK_HINT, is_absent=True)
    preferred = choose_webhook(webhooks, public_url)
    host = host_of(preferred.url)
    same_host = [one for one in webhooks if host_of(one.url) == host]
    is_certain = host == host_of(public_url) if public_url else len(same_host) == len(webhooks)

    def own(webhook: Webhook, siblings: tuple[OwnHook, ...] = ()) -> OwnHook:
        return OwnHook(repository_hook(repository, webhook.id), webhook.is_active, is_certain, siblings)

    return own(preferred, tuple(own(one) for one in same_host if one is not preferred))


def choose_webhook(webhooks: Sequence[Webhook], public_url: str | None) -> Webhook:
    """Return the one of several webhooks that leads to this receiver: by its host, then an active one, then the newest.

    Others may lead to an earlier address, or to another Squire.
    """
    host = host_of(public_url or "")
    return max(webhooks, key=lambda one: (host_of(one.url) == host, one.is_active, one.id))
