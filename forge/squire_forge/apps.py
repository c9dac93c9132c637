"""The GitHub Apps that are registered with the forge, and the scoped tokens that it issued to them."""

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from squire_forge.errors import RefusedError
from squire_forge.urls import user_urls

GRANTED: Mapping[str, str] = MappingProxyType(
    {
        "metadata": "read",
        "contents": "write",
        "pull_requests": "write",
        "issues": "read",
        "checks": "write",
        "statuses": "read",
    }
)
TOKEN_LIFE = CODE_LIFE = timedelta(hours=1)
_FIRST_ID = 100_001
_MAX_APPS = 50
_MAX_TOKENS = 1000


@dataclass(frozen=True, slots=True)
class _Token:
    repositories: frozenset[str] | None  # names without owner, None for all
    writes: bool
    expires_at: datetime
    app_id: str = ""
    permissions: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ManifestApp:
    """An App that a person made from a manifest; its private key is shown once."""

    id: int
    name: str
    organization: str | None
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    created_at: str
    webhook_secret: str | None
    private_key: str
    is_installed: bool = False

    @property
    def slug(self) -> str:
        """Its name in addresses."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def shape(self, web_url: str) -> dict[str, object]:
        """Return the body of `GET /app`."""
        login = self.organization or "squire-demo"
        kind = "Organization" if self.organization else "User"
        owner = {"login": login, "id": 1, "node_id": "", "type": kind, "site_admin": False}
        return {
            "id": self.id,
            "slug": self.slug,
            "node_id": f"app{self.id}",
            "client_id": f"Iv1.{self.id:016x}",
            "owner": owner | user_urls(web_url, f"{web_url}/api/v3", login),
            "name": self.name,
            "description": "",
            "external_url": web_url,
            "html_url": f"{web_url}/apps/{self.slug}",
            "created_at": self.created_at,
            "updated_at": self.created_at,
            "permissions": dict(self.permissions),
            "events": list(self.events),
        }

    def credentials(self) -> dict[str, object]:
        """Return what the conversion of a code shows beside it."""
        return {
            "client_secret": secrets.token_hex(20),
            "webhook_secret": self.webhook_secret,
            "pem": self.private_key,
        }


class Apps:
    """The registered Apps and their tokens, kept in memory only."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._made: dict[str, ManifestApp] = {}
        self._codes: dict[str, tuple[str, datetime]] = {}
        self._tokens: dict[str, _Token] = {}
        self._guard = threading.Lock()

    def register(self, app_id: str, public_key: str) -> None:
        """Register an App that signs with the private key of `public_key` (PEM)."""
        self._keys[app_id] = public_key

    def create(
        self,
        name: str,
        organization: str | None,
        permissions: Mapping[str, str],
        events: tuple[str, ...],
        *,
        has_webhook: bool,
    ) -> str:
        """Make an App, and return the code that shows its key once within an hour. Raises RefusedError."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        ).decode()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        now, code = datetime.now(UTC), secrets.token_hex(20)
        with self._guard:
            number = _FIRST_ID + len(self._made)
            secret = secrets.token_hex(20) if has_webhook else None
            moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
            app = ManifestApp(number, name, organization, permissions, events, moment, secret, private)
            if self.find_by_slug(app.slug) is not None:
                raise RefusedError("Name has already been taken", status=422)
            if len(self._made) >= _MAX_APPS:
                raise RefusedError("The forge keeps no more Apps", status=422)
            self._made[str(number)] = app
            self._keys[str(number)] = public.decode()
            self._codes[code] = str(number), now + CODE_LIFE
        return code

    def take_code(self, code: str) -> ManifestApp | None:
        """Return the App of a code, once; None when it is unknown, used or too old."""
        with self._guard:
            number, expires_at = self._codes.pop(code, ("", datetime.min.replace(tzinfo=UTC)))
        return self._made.get(number) if expires_at > datetime.now(UTC) else None

    def find_by_slug(self, slug: str) -> ManifestApp | None:
        """Return the App that was made with this name, None without one."""
        return next((app for app in self._made.values() if app.slug == slug), None)

    def find_made(self, app_id: str) -> ManifestApp | None:
        """Return the App that was made from a manifest, None for one that was registered with its key."""
        return self._made.get(app_id)

    def find_app(self, bearer: str) -> str | None:
        """Return the App that signed this JWT, None when none did."""
        try:
            issuer = str(jwt.decode(bearer, options={"verify_signature": False}).get("iss"))
            jwt.decode(bearer, self._keys[issuer], algorithms=["RS256"], options={"require": ["exp", "iat"]})
        except (jwt.PyJWTError, KeyError, ValueError):
            return None
        return issuer

    def issue_token(
        self, app_id: str, repositories: frozenset[str] | None, permissions: Mapping[str, str]
    ) -> tuple[str, datetime]:
        """Issue a token for an App; return it and when it expires."""
        value, writes = "ghs_" + secrets.token_hex(20), "write" in permissions.values()
        token = _Token(repositories, writes, datetime.now(UTC) + TOKEN_LIFE, app_id, dict(permissions))
        with self._guard:
            if len(self._tokens) >= _MAX_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[value] = token
        return value, token.expires_at

    def app_with(self, value: str, permission: str, level: str) -> str | None:
        """Return the slug of the App whose token `value` is, where it has a permission; None where it has not."""
        token = self._tokens.get(value)
        if token is None or token.permissions.get(permission) != level:
            return None
        made = self._made.get(token.app_id)
        return made.slug if made is not None else f"app-{token.app_id}"

    def allows(self, value: str | None, repository: str | None, *, write: bool) -> bool:
        """Return whether `value` is an App's token that covers `repository` (its name without the owner)."""
        token = self._tokens.get(value or "")
        if token is None or token.expires_at <= datetime.now(UTC):
            return False
        covered = repository is None or token.repositories is None or repository in token.repositories
        return covered and (token.writes or not write)
