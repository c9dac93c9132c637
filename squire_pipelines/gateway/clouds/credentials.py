"""Finds a cloud's credentials on this machine, as the company's own library does, and renews them.

The libraries wait in their own ways, for a metadata server, a sign-in or a program, so that each look has a thread and
a bound of its own.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from squire_pipelines.errors import CredentialSourceError, SecretMissingError
from squire_pipelines.gateway.clouds.cloud import AwsKeys, Cloud, Credential, GoogleToken, Platform
from squire_pipelines.gateway.clouds.libraries import require
from squire_pipelines.observability.logging import with_context

LOOK_S = 20.0
"""How long the library may look for credentials, or renew them."""
_REQUEST_S = 10.0
_GOOGLE_HEADERS = frozenset({"authorization", "x-goog-user-project", "x-allowed-locations"})
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
_LEAST_SESSION_S, _MOST_SESSION_S = 900, 129_600
_T = TypeVar("_T")


def _bounded(look: Callable[[], _T], cloud: Cloud, seconds: float) -> _T:
    """Return what a look gives. Raises CredentialSourceError when it takes longer, and what it raises."""
    results: list[_T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(look())
        except Exception as error:  # noqa: BLE001 - raised again by the one who waits
            errors.append(error)

    thread = threading.Thread(target=with_context(run), name="squire-credentials", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise CredentialSourceError(
            f"{cloud.words.name} were not found within {seconds:g} s",
            hint="see whether this machine reaches what gives them; the attempt is tried again",
        )
    return results[0]


class CredentialSource:
    """The credentials of one cloud, kept and renewed by the company's library.

    Args:
        cloud: Where they are for; with the credential itself in a container.
        look_s: How long one look may take.
    """

    def __init__(self, cloud: Cloud, *, look_s: float = LOOK_S) -> None:
        self._cloud = cloud
        self._look_s = look_s
        self._lock = threading.Lock()
        self._kept: Any = None  # the library's own object

    def find(self) -> Credential:
        """Return credentials that are valid now.

        Raises:
            SecretMissingError: There are none, or they have ended.
            ConfigError: The library is not installed.
            CredentialSourceError: What gives them does not answer.
        """
        lent = self._cloud.credential
        if lent is not None:
            if lent.expires_at is not None and lent.expires_at <= datetime.now(UTC):
                raise SecretMissingError(
                    f"{self._cloud.words.name} of the gateway's container ended at {lent.expires_at:%H:%M} UTC",
                    hint='try again with a shorter agent.limits.wall_clock_s, or set gateway.transport = "socket"',
                )
            return lent
        with self._lock:
            is_aws = self._cloud.platform is Platform.BEDROCK
            look: Callable[[], Credential] = self._look_aws if is_aws else self._look_google
            return _bounded(look, self._cloud, self._look_s)

    def _missing(self, reason: str) -> SecretMissingError:
        return SecretMissingError(f"{self._cloud.words.name} cannot be used: {reason}", hint=self._cloud.words.renew)

    def _session(self) -> Any:
        session = require(Platform.BEDROCK, "botocore.session").Session(profile=self._cloud.profile)
        config = require(Platform.BEDROCK, "botocore.config").Config(
            connect_timeout=_REQUEST_S, read_timeout=_REQUEST_S, retries={"total_max_attempts": 2}
        )
        session.set_default_client_config(config)
        return session

    def _look_aws(self) -> AwsKeys:
        errors = require(Platform.BEDROCK, "botocore.exceptions")
        try:
            self._kept = self._kept or self._session().get_credentials()
            if self._kept is None:
                raise self._missing("none are set in the environment, the files of AWS or the machine's role")
            frozen = self._kept.get_frozen_credentials()
        except (errors.HTTPClientError, errors.ConnectionError) as error:
            raise self._unreachable(error) from error
        except (errors.BotoCoreError, errors.ClientError) as error:
            raise self._missing(type(error).__name__) from error
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token)

    def _look_google(self) -> GoogleToken:
        errors = require(Platform.VERTEX, "google.auth.exceptions")
        transport = require(Platform.VERTEX, "google.auth.transport.requests")
        headers: dict[str, str] = {}
        try:
            if self._kept is None:
                self._kept, _ = require(Platform.VERTEX, "google.auth").default(scopes=[_SCOPE])
            request = partial(transport.Request(), timeout=_REQUEST_S)
            self._kept.before_request(request, "POST", self._cloud.region, headers)
        except errors.TransportError as error:
            raise self._unreachable(error) from error
        except errors.GoogleAuthError as error:
            if getattr(error, "retryable", False):
                raise self._unreachable(error) from error
            raise self._missing(type(error).__name__) from error
        expiry: datetime | None = self._kept.expiry
        return GoogleToken(
            {name.lower(): value for name, value in headers.items() if name.lower() in _GOOGLE_HEADERS},
            expiry.replace(tzinfo=UTC) if expiry is not None else None,
        )

    def _unreachable(self, error: Exception) -> CredentialSourceError:
        return CredentialSourceError(
            f"{self._cloud.words.name} cannot be renewed now: {type(error).__name__}",
            hint="see whether this machine reaches what gives them; the attempt is tried again",
        )

    def lend(self, seconds: float) -> Credential:
        """Return short-lived credentials for a gateway in a container, which cannot renew them.

        Args:
            seconds: How long they have to last.

        Raises:
            SecretMissingError: There are none, or none that last so long.
            ConfigError: The library is not installed.
            CredentialSourceError: What gives them does not answer.
        """
        credential = self.find()
        if isinstance(credential, AwsKeys):
            return self._lend_aws(credential, seconds)
        end = credential.expires_at
        if end is not None and end < datetime.now(UTC) + timedelta(seconds=seconds):
            raise self._too_short(seconds)
        return credential

    def _lend_aws(self, keys: AwsKeys, seconds: float) -> AwsKeys:
        if keys.session_token is None:  # a user's own, which do not end
            return _bounded(partial(self._ask_session, seconds), self._cloud, self._look_s)
        # Keys from the environment do not say when they end; AWS does then.
        ends_within = getattr(self._kept, "refresh_needed", None)
        if ends_within is None:
            return keys
        if ends_within(refresh_in=seconds):
            raise self._too_short(seconds)
        return replace(keys, expires_at=datetime.now(UTC) + timedelta(seconds=seconds))

    def _too_short(self, seconds: float) -> SecretMissingError:
        return SecretMissingError(
            f"{self._cloud.words.name} end before an attempt of {seconds:g} s may, and a gateway in a container cannot "
            "renew them",
            hint=f'lower agent.limits.wall_clock_s, set gateway.transport = "socket", or {self._cloud.words.renew}',
        )

    def _ask_session(self, seconds: float) -> AwsKeys:
        errors = require(Platform.BEDROCK, "botocore.exceptions")
        duration = int(min(max(seconds, _LEAST_SESSION_S), _MOST_SESSION_S))
        try:
            with contextlib.closing(self._session().create_client("sts", region_name=self._cloud.region)) as client:
                made: Mapping[str, Any] = client.get_session_token(DurationSeconds=duration)["Credentials"]
        except (errors.HTTPClientError, errors.ConnectionError) as error:
            raise self._unreachable(error) from error
        except (errors.BotoCoreError, errors.ClientError) as error:
            raise self._missing(f"no short-lived keys are given for a container ({type(error).__name__})") from error
        return AwsKeys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], made["Expiration"])
