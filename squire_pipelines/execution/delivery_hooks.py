"""The webhooks at GitHub that lead to this receiver, as far as the credentials may see them: the App's, or each one's.

With an App its own webhook counts, which brings the deliveries of all repositories; else those of the repositories.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from urllib.parse import urlsplit

from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.hook_deliveries import APP_HOOK, HookAddress, app_hook_url, repository_hook
from squire_pipelines.github.webhook_state import PATH, Webhook, our_webhooks
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
        is_certain: Whether no other receiver can be meant: its host is that of `webhooks.public_url`, or there is one
            such webhook alone.
    """

    address: HookAddress
    is_active: bool = True
    is_certain: bool = True

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
class HookSurvey:
    """What was seen of webhooks."""

    hooks: tuple[OwnHook, ...] = ()
    unseen: tuple[UnseenHook, ...] = ()


def hook_client(github: GitHub) -> AbstractAsyncContextManager[GitHubClient]:
    """Return the client that asks about webhooks: as the App itself where there is one. Raises ConfigError."""
    return github.app_client() or github.client()


async def survey_hooks(settings: Settings, client: GitHubClient, repositories: Sequence[str]) -> HookSurvey:
    """Return the webhooks that lead here: the App's, or those of `repositories`. What one hides keeps no other back."""
    if settings.github.app_id:
        answers = [await _app_hook(client)]
    else:
        turns = asyncio.Semaphore(AT_ONCE)

        async def ask(repository: str) -> OwnHook | UnseenHook:
            async with turns:
                return await _hook_of(client, settings, repository)

        answers = list(await asyncio.gather(*map(ask, repositories)))
    hooks = (answer for answer in answers if isinstance(answer, OwnHook))
    return HookSurvey(tuple(hooks), tuple(answer for answer in answers if isinstance(answer, UnseenHook)))


async def _app_hook(client: GitHubClient) -> OwnHook | UnseenHook:
    try:
        url = await app_hook_url(client)
    except (GitHubNotFoundError, GitHubPermissionError):
        url = ""
    except GitHubError as error:
        return UnseenHook(APP_HOOK.name, error.message, error.hint, is_lasting=False)
    if not urlsplit(url).path.rstrip("/").endswith(PATH):
        return UnseenHook(
            APP_HOOK.name, "the App has no webhook that leads to Squire", _NO_APP_HOOK_HINT, is_absent=True
        )
    return OwnHook(APP_HOOK)


async def _hook_of(client: GitHubClient, settings: Settings, repository: str) -> OwnHook | UnseenHook:
    try:
        webhooks = await our_webhooks(client, repository, public_url=settings.webhooks.public_url)
    except (GitHubNotFoundError, GitHubPermissionError):
        return UnseenHook(repository, "GitHub does not show its webhooks to the token", _HIDDEN_HINT)
    except GitHubError as error:
        return UnseenHook(repository, error.message, error.hint, is_lasting=False)
    if not webhooks:
        return UnseenHook(repository, "no webhook leads to Squire", _NO_HOOK_HINT, is_absent=True)
    webhook, host = choose_webhook(webhooks, settings.webhooks.public_url), settings.webhooks.public_url
    is_certain = _host_of(webhook.url) == _host_of(host) if host else len(webhooks) == 1
    return OwnHook(repository_hook(repository, webhook.id), webhook.is_active, is_certain)


def choose_webhook(webhooks: Sequence[Webhook], public_url: str | None) -> Webhook:
    """Return the one of several webhooks that leads to this receiver: by its host, then an active one, then the newest.

    Others may lead to an earlier address, or to another Squire.
    """
    host = _host_of(public_url or "")
    return max(webhooks, key=lambda one: (_host_of(one.url) == host, one.is_active, one.id))


def _host_of(url: str) -> str:
    return urlsplit(url).netloc
