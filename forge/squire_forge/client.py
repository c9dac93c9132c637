"""Talking to a running forge: its addresses, and its `/_forge/` routes. Starting it is `process`'s matter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from squire_forge.errors import NotReachableError, RefusedError

_REQUEST_TIMEOUT_S = 60.0


class Hostable(Protocol):
    """What can be hosted: anything that says the body of `POST /_forge/repos`."""

    def hosting(self) -> Mapping[str, object]:
        """The body of `POST /_forge/repos`."""
        ...


class ForgeClient:
    """A forge somewhere on this machine.

    Args:
        url: Where it is reached, as in its ready line.
        home: Folder of its state; its log lies there.
        token: The token that it accepts.
        webhook_secret: The key of its webhooks' signatures.
    """

    def __init__(self, url: str, *, home: Path, token: str, webhook_secret: str) -> None:
        self.home = home
        self.url = url
        self.token = token
        self.webhook_secret = webhook_secret
        self._client = httpx.Client(
            base_url=url,
            timeout=_REQUEST_TIMEOUT_S,
            trust_env=False,
            headers={"authorization": f"Bearer {token}"},
        )

    def close(self) -> None:
        """Give up the connections to it; it goes on."""
        self._client.close()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def api_url(self) -> str:
        """Where REST is served."""
        return f"{self.url}/api/v3"

    @property
    def graphql_url(self) -> str:
        """Where GraphQL is served."""
        return f"{self.url}/api/graphql"

    def git_url(self, repository: str) -> str:
        """The address that git clones `owner/name` from."""
        return f"{self.url}/{repository}.git"

    def host_repository(self, repository: Hostable | Mapping[str, object]) -> dict[str, Any]:
        """Host a sample, or what a mapping (the body of `POST /_forge/repos`) says; a second call does nothing."""
        body = repository if isinstance(repository, Mapping) else repository.hosting()
        found: dict[str, Any] = self._call("POST", "/_forge/repos", body)
        return found

    def state(self) -> dict[str, Any]:
        """All repositories, pull requests, issues and the last deliveries."""
        found: dict[str, Any] = self._call("GET", "/_forge/state")
        return found

    def settle(self) -> dict[str, Any]:
        """Have all checks made, merges done and webhooks sent now; returns the state after."""
        found: dict[str, Any] = self._call("POST", "/_forge/settle")
        return found

    def register_app(self, app_id: str, public_key: str) -> None:
        """Let a GitHub App in, which signs with the other half of `public_key` (PEM)."""
        self._call("POST", "/_forge/apps", {"app_id": app_id, "public_key": public_key})

    def act_as(self, repository: str, login: str, **act: object) -> None:
        """Let a person act; the arguments are those of `people.PersonAct`."""
        self._call("POST", "/_forge/people", {"repository": repository, "login": login, **act})

    def add_fault(self, match: str, **fault: object) -> None:
        """Lay a fault in wait; the arguments are those of `faults.Fault`."""
        self._call("POST", "/_forge/faults", {"match": match, **fault})

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._call("DELETE", "/_forge/faults")

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        try:
            response = self._client.request(method, path, json=None if body is None else dict(body))
        except httpx.HTTPError as error:
            raise NotReachableError(
                f"the demo forge at {self.url} does not answer: {error}", hint=f"see {self.home / 'forge.log'}"
            ) from error
        if response.is_error:
            raise RefusedError(
                f"the demo forge refused {method} {path}: {response.text[:1000]}",
                status=response.status_code,
            )
        return response.json()
