"""The GitHub Apps that are registered with the forge, and the scoped tokens that it issued to them."""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import jwt

GRANTED: Mapping[str, str] = MappingProxyType(
    {
        "metadata": "read",
        "contents": "write",
        "pull_requests": "write",
        "issues": "read",
        "checks": "read",
        "statuses": "read",
    }
)
TOKEN_LIFE = timedelta(hours=1)
_MAX_TOKENS = 1000


@dataclass(frozen=True, slots=True)
class _Token:
    repositories: frozenset[str] | None  # names without owner, None for all
    writes: bool
    expires_at: datetime


class Apps:
    """The registered Apps and their tokens, kept in memory only."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._tokens: dict[str, _Token] = {}
        self._guard = threading.Lock()

    def register(self, app_id: str, public_key: str) -> None:
        """Register an App that signs with the private key of `public_key` (PEM)."""
        self._keys[app_id] = public_key

    def find_app(self, bearer: str) -> str | None:
        """Return the App that signed this JWT, None when none did."""
        try:
            issuer = str(jwt.decode(bearer, options={"verify_signature": False}).get("iss"))
            jwt.decode(bearer, self._keys[issuer], algorithms=["RS256"], options={"require": ["exp", "iat"]})
        except (jwt.PyJWTError, KeyError, ValueError):
            return None
        return issuer

    def issue_token(self, repositories: frozenset[str] | None, *, writes: bool) -> tuple[str, datetime]:
        """Issue a token; return it and when it expires."""
        value = "ghs_" + secrets.token_hex(20)
        token = _Token(repositories, writes, datetime.now(UTC) + TOKEN_LIFE)
        with self._guard:
            if len(self._tokens) >= _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[value] = token
        return value, token.expires_at

    def allows(self, value: str | None, repository: str | None, *, write: bool) -> bool:
        """Return whether `value` is an App's token that covers `repository` (its name without the owner)."""
        token = self._tokens.get(value or "")
        if token is None or token.expires_at <= datetime.now(UTC):
            return False
        covered = repository is None or token.repositories is None or repository in token.repositories
        return covered and (token.writes or not write)
