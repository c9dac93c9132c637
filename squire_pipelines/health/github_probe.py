"""The probe of GitHub: whether it answers and takes the credential, when that lapses, and what its clock says.

One question that costs nothing of the quota: https://docs.github.com/en/rest/rate-limit
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import httpx

from squire_pipelines.domain.conditions import ConditionState
from squire_pipelines.domain.service_rules import GitHubFacts, credential_state, github_state
from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.errors import ConfigError, GitHubAuthError, GitHubError, GitHubUnavailableError, PassphraseError
from squire_pipelines.github.access import AppAccess, TokenAccess, access_from
from squire_pipelines.health.clock_offset import offset_of
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.secrets import Secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.trusted_certificates import tls_context

EXPIRY = "github-authentication-token-expiration"
"""https://docs.github.com/rest/authentication/token-expiration-and-revocation"""

_EVERY_S = 30.0
_TIMEOUT_S = 12.0
_ANSWER_TIMEOUT_S = 8.0
_MAX_BODY = 2000
_FIRST_ERROR = 400
_UNAUTHORIZED = 401
_OK = 200
_EXPIRY_FORMS = ("%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M:%S %z")


def github_probe(settings: Settings, note_offset: Callable[[float | None], None]) -> Probe:
    """Return the probe of the settings' GitHub; `note_offset` is told how far this clock is ahead of GitHub's."""
    conditions = ("github", "github_token")
    return Probe("github", conditions, _EVERY_S, _TIMEOUT_S, lambda: look_at_github(settings, note_offset))


def look_at_github(
    settings: Settings,
    note_offset: Callable[[float | None], None] = lambda _: None,
    *,
    now: Callable[[], float] = time.time,
) -> States:
    """Ask GitHub.

    Args:
        settings: Name it and say where the secrets are.
        note_offset: Is told how far this machine's clock is ahead of GitHub's; None where that is not known.
        now: This machine's clock, in seconds since 1970.
    """
    timeout_s = min(settings.github.timeout_s, _ANSWER_TIMEOUT_S)
    facts = GitHubFacts(settings.github.api_url, None, is_app=settings.github.app_id is not None)
    access: AppAccess | TokenAccess | None = None
    unusable: ConditionState | None = None
    try:
        access = _access(settings)
    except PassphraseError:
        facts = replace(facts, locked=True)
    except ConfigError as error:
        unusable = ConditionState.down(error.message, error.hint)
    secret = access.secret if isinstance(access, TokenAccess) else None
    moment = datetime.fromtimestamp(now(), UTC)
    if access is not None and access.is_anonymous:
        # Nobody is asked for whom Squire has no access: no token may be meant, as where nothing is set up yet.
        note_offset(None)
        missing = credential_state(replace(facts, has_credential=False), now=moment)
        return {"github_token": missing} if missing is not None and settings.repositories else {}
    facts, offset_s = _ask(facts, secret, timeout_s, now)
    note_offset(offset_s)
    states = {"github": github_state(facts)}
    if isinstance(access, AppAccess):
        facts = _ask_as_app(facts, access)
    credential = unusable or credential_state(facts, now=moment)
    if credential is not None:
        states["github_token"] = credential
    return states


def _access(settings: Settings) -> AppAccess | TokenAccess | None:
    access = access_from(settings)
    if settings.tenants and access.is_anonymous and DEFAULT_TENANT not in settings.tenant_names:
        return None  # each tenant has its own, which the readings of its repositories tell of
    return access if isinstance(access, AppAccess | TokenAccess) else None


def _ask(
    facts: GitHubFacts, secret: Secret | None, timeout_s: float, now: Callable[[], float]
) -> tuple[GitHubFacts, float | None]:
    headers = {"User-Agent": "squire-pipelines", "Accept": "application/vnd.github+json"}
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret.reveal()}"
    sent = now()
    try:
        with (
            httpx.Client(verify=tls_context(), timeout=timeout_s) as client,
            client.stream("GET", f"{facts.api_url.rstrip('/')}/rate_limit", headers=headers) as response,
        ):
            received = now()
            body = next(response.iter_text(_MAX_BODY), "") if response.status_code >= _FIRST_ERROR else ""
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return replace(facts, problem=type(error).__name__), None
    expires_at = read_expiry(response.headers.get(EXPIRY, ""))
    facts = replace(facts, status=response.status_code, problem=" ".join(body.split())[:200], expires_at=expires_at)
    return facts, offset_of(response.headers, sent=sent, received=received)


def _ask_as_app(facts: GitHubFacts, access: AppAccess) -> GitHubFacts:
    """Return what GitHub answers to the App's key. The answer before was to nobody."""
    try:
        asyncio.run(asyncio.wait_for(access.about(), _ANSWER_TIMEOUT_S))
    except GitHubAuthError as error:
        return replace(facts, status=_UNAUTHORIZED, problem=error.message)
    except (GitHubUnavailableError, TimeoutError):
        return replace(facts, status=None)
    except GitHubError as error:
        return replace(facts, status=_FIRST_ERROR, problem=error.message)
    except ConfigError as error:
        return replace(facts, status=_UNAUTHORIZED, problem=error.message)
    return replace(facts, status=_OK)


def read_expiry(text: str) -> datetime | None:
    """Return when a token lapses by what GitHub's header says, such as `2026-12-01 10:00:00 UTC`; None for nothing."""
    for form in _EXPIRY_FORMS:
        with suppress(ValueError):
            moment = datetime.strptime(text, form)  # noqa: DTZ007 - UTC, or it has its zone
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return None
