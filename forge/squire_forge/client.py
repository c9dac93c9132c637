"""A client of a running forge: its addresses, and its `/_forge/` routes. `process` starts a forge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from squire_forge.errors import NotReachableError, RefusedError

_REQUEST_TIMEOUT_S = 60.0


class Hostable(Protocol):
    """An object that the forge can host: it gives the body of `POST /_forge/repos`."""

    def hosting(self) -> Mapping[str, object]:
        """Return the body of `POST /_forge/repos`."""
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
            verify=False,  # noqa: S501 - it is plain HTTP on loopback; to read certificates would take 20 ms
            headers={"authorization": f"Bearer {token}"},
        )

    def close(self) -> None:
        """Close the connections to the forge, which keeps running."""
        self._client.close()

    @property
    def port(self) -> int:
        """The port that the forge listens on."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def api_url(self) -> str:
        """The address of REST."""
        return f"{self.url}/api/v3"

    @property
    def graphql_url(self) -> str:
        """The address of GraphQL."""
        return f"{self.url}/api/graphql"

    def git_url(self, repository: str) -> str:
        """Return the address that git clones `owner/name` from."""
        return f"{self.url}/{repository}.git"

    def host_repository(self, repository: Hostable | Mapping[str, object]) -> dict[str, Any]:
        """Host a sample, or the repository that a mapping describes; hosting it again changes nothing."""
        body = repository if isinstance(repository, Mapping) else repository.hosting()
        answer: dict[str, Any] = self._call("POST", "/_forge/repos", body)
        return answer

    def state(self) -> dict[str, Any]:
        """Return all repositories, pull requests, issues and the last deliveries."""
        answer: dict[str, Any] = self._call("GET", "/_forge/state")
        return answer

    def settle(self) -> dict[str, Any]:
        """Run all checks, merge what is due, send all webhooks now, and return the state after that."""
        answer: dict[str, Any] = self._call("POST", "/_forge/settle")
        return answer

    def register_app(self, app_id: str, public_key: str) -> None:
        """Register a GitHub App that signs with the private key of `public_key` (PEM)."""
        self._call("POST", "/_forge/apps", {"app_id": app_id, "public_key": public_key})

    def act_as(self, repository: str, login: str, **act: object) -> None:
        """Act as another person; the arguments are those of `people.PersonAct`."""
        self._call("POST", "/_forge/people", {"repository": repository, "login": login, **act})

    def add_fault(self, match: str, **fault: object) -> None:
        """Inject a fault into the next requests that match; the arguments are those of `faults.Fault`."""
        self._call("POST", "/_forge/faults", {"match": match, **fault})

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._call("DELETE", "/_forge/faults")

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        try:
            response = self._client.request(method, path, json=None if body is None else dict(body))
        except httpx.HTTPError as error:
            raise NotReachableError(
                f"the forge at {self.url} does not answer: {error}", hint=f"see {self.home / 'forge.log'}"
            ) from error
        if response.is_error:
            raise RefusedError(
                f"the forge refused {method} {path}: {response.text[:1000]}",
                status=response.status_code,
            )
        return response.json()
