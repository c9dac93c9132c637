"""Speaks to a cluster's API server: the few requests that agents' Jobs need, each with a time limit and a bound.

Where the server is and who asks it is lightkube's to find (kubeconfig, a pod's service account, tokens that change).
The requests are made here: lightkube's own watch and log have no limit of time, and its log no `sinceTime`.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core import exceptions as lightkube_errors

from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.kubernetes import KubernetesSettings

_log = get_logger(Component.AGENT)
HINT = "look whether the cluster is up, and at [kubernetes] in the settings"
WATCH_S = 45.0
"""How long a watch lasts on the server's side; a connection that died unseen is noticed a little later."""
SILENCE_S = 120.0
"""How long a followed log may be silent before it is read anew."""
_PAGE, _MAX_PAGES = 200, 50
_MAX_ANSWER_BYTES = 32 * 2**20
MAX_LINE_BYTES = 2**20
"""Longer lines come in pieces of so many bytes."""
_MAX_MESSAGE = 500
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NOT_FOUND = 404
# https://kubernetes.io/docs/reference/using-api/api-concepts/: too many requests, and what a proxy or a server says
# that is being started or is out of its database.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "jobs": "/apis/batch/v1/namespaces/{namespace}/jobs",
        "pods": "/api/v1/namespaces/{namespace}/pods",
        "secrets": "/api/v1/namespaces/{namespace}/secrets",
        "events": "/api/v1/namespaces/{namespace}/events",
    }
)


class GoneError(Exception):
    """410: what a watch was to go on from is no longer known; list again."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects, and the version from which a watch goes on."""

    items: tuple[dict[str, Any], ...]
    version: str


def connect(settings: KubernetesSettings, *, deadline: Deadline | None = None) -> "ClusterApi":
    """Return a client of the cluster's API server, which is not asked yet; the caller closes it.

    Raises:
        ConfigError: No kubeconfig is there, it cannot be used, or it would have the server's identity unchecked.
    """
    config = _find_config(settings)
    server = urlsplit(config.cluster.server)
    if config.user is not None and config.user.exec is not None:
        raise ConfigError(
            f"the kubeconfig's context {config.context_name} gets its token from a program, which Squire does not run",
            hint="use a service account's token, a client certificate, or run the worker in the cluster",
        )
    if server.scheme != "https" and server.hostname not in _LOOPBACK:
        raise ConfigError(
            f"the API server {config.cluster.server} is no https:// URL", hint="name one in the kubeconfig"
        )
    if config.cluster.insecure:
        raise ConfigError(
            "the kubeconfig has insecure-skip-tls-verify: whoever is in between would get the token",
            hint="put the cluster's certificate-authority into it",
        )
    parameters = client_adapter.ConnectionParams(timeout=httpx2.Timeout(settings.timeout_s))
    try:
        http = client_adapter.Client(config, parameters)
    except (OSError, ValueError, AssertionError, lightkube_errors.ConfigError) as error:
        raise ConfigError(f"the kubeconfig cannot be used: {str(error)[:300]}", hint=HINT) from error
    return ClusterApi(http, settings.namespace, settings.timeout_s, deadline=deadline)


def _find_config(settings: KubernetesSettings) -> SingleConfig:
    try:
        path = settings.kubeconfig
        files = KubeConfig.from_file(path) if path is not None else KubeConfig.from_env()
        config = files.get(settings.context)
    except Exception as error:  # lightkube lets its parsers' own errors through: each means a file that is none
        raise ConfigError(
            f"there is no usable kubeconfig: {str(error)[:300]}",
            hint="set kubernetes.kubeconfig, or run the worker in a pod with a service account",
        ) from error
    if config is None:
        raise ConfigError("the kubeconfig has no current context", hint="set kubernetes.context")
    return config


class ClusterApi:
    """An API server, and the namespace in which agents' Jobs are made.

    Each request raises EngineError where nothing answers or the server is in trouble, and ClusterRefusalError where it
    refuses.

    Args:
        http: Knows the server, its certificate and who asks.
        namespace: In which all requests are made.
        timeout_s: Of one request.
        deadline: Until when all requests together are over.
    """

    def __init__(
        self, http: httpx2.Client, namespace: str, timeout_s: float, *, deadline: Deadline | None = None
    ) -> None:
        self._http = http
        self.namespace = namespace
        self._timeout_s = timeout_s
        self._deadline = deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self._http.base_url)

    def version(self) -> str:
        """Return the version that the server names."""
        return str(self._ask("GET", "/version").get("gitVersion", ""))

    def create(self, kind: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object of a kind (`jobs`, `secrets`) and return it as the server has it."""
        return self._ask("POST", self._path(kind), body=manifest)

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object by its name; None where there is none."""
        try:
            return self._ask("GET", self._path(kind, name))
        except ClusterRefusalError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def list(self, kind: str, *, labels: str = "", fields: str = "") -> Listing:
        """Return the objects of a kind that a label selector and a field selector fit, 10,000 at most."""
        path = self._path(kind)
        items: list[dict[str, Any]] = []
        parameters = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        version = ""
        for _ in range(_MAX_PAGES):
            answer = self._ask("GET", path, parameters={k: v for k, v in parameters.items() if v})
            items += answer.get("items") or []
            meta = answer.get("metadata") or {}
            version = str(meta.get("resourceVersion", ""))
            if not meta.get("continue"):
                break
            parameters["continue"] = str(meta["continue"])
        return Listing(tuple(items), version)

    def delete(self, kind: str, name: str, *, grace_s: int | None = None, wait_for_pods: bool = False) -> bool:
        """Delete an object; return False where there is none.

        Args:
            kind: Of the object.
            name: Its name.
            grace_s: How long a pod's processes get after SIGTERM; what its spec says when None.
            wait_for_pods: Keep a Job, which makes no pod any more, until its pods have ended (`Foreground`).
        """
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if kind == "jobs":
            options["propagationPolicy"] = "Foreground" if wait_for_pods else "Background"
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            self._ask("DELETE", self._path(kind, name), body=options)
        except ClusterRefusalError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    def may(self, verb: str, group: str, resource: str, subresource: str = "") -> bool:
        """Return whether whoever asks here may do something in the namespace, by a SelfSubjectAccessReview.

        https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
        """
        wish = {"verb": verb, "group": group, "resource": resource, "namespace": self.namespace}
        wish |= {"subresource": subresource} if subresource else {}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wish},
        }
        answer = self._ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        return bool((answer.get("status") or {}).get("allowed"))

    def read_namespace(self) -> dict[str, Any]:
        """Return the namespace itself."""
        return self._ask("GET", f"/api/v1/namespaces/{self.namespace}")

    def watch(self, kind: str, *, labels: str, version: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the changes of objects after a version, as (`ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`; the object).

        It ends after `WATCH_S` or when the connection does; go on from the last object's version.

        Raises:
            GoneError: The version is too old: list again.

        https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
        """
        parameters = {
            "watch": "true",
            "labelSelector": labels,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": f"{WATCH_S:.0f}",
        }
        with self._stream(self._path(kind), parameters, read_s=WATCH_S + self._timeout_s) as lines:
            for line in lines:
                event = json.loads(line)
                kind_of_event, item = str(event.get("type", "")), event.get("object") or {}
                if kind_of_event == "ERROR":
                    if item.get("code") == httpx2.codes.GONE:
                        raise GoneError
                    raise _refusal(int(item.get("code") or 500), item)
                yield kind_of_event, item

    def log(
        self, pod: str, container: str, *, follow: bool, since: str = "", timestamps: bool = True
    ) -> Iterator[bytes]:
        """Yield the lines of a container's log, without their ends; with `follow` until the container ends.

        Raises EngineError after `SILENCE_S` without a line: go on from the last line's second.

        Args:
            pod: Its name.
            container: In the pod.
            follow: Whether to wait for more.
            since: From which second on, as RFC 3339; all that the node has kept when empty.
            timestamps: Whether each line begins with its time (RFC 3339 with nanoseconds) and a blank.
        """
        parameters = {"container": container, "follow": str(follow).lower(), "timestamps": str(timestamps).lower()}
        if since:
            parameters["sinceTime"] = since
        # A program may be silent for as long as it runs, and so is a connection that has died unseen: begin again.
        with self._stream(f"{self._path('pods', pod)}/log", parameters, read_s=SILENCE_S if follow else None) as lines:
            yield from lines

    def _path(self, kind: str, name: str = "") -> str:
        path = _PATHS[kind].format(namespace=self.namespace)
        return f"{path}/{name}" if name else path

    def _left_s(self) -> float:
        if self._deadline is None:
            return self._timeout_s
        if self._deadline.is_past:
            raise EngineError("the time for the API server's answers timed out", hint=HINT)
        return min(self._timeout_s, self._deadline.remaining_s)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        _log.debug("cluster.request", method=method, path=path)
        try:
            with self._http.stream(
                method, path, params=dict(parameters or {}), json=body, timeout=httpx2.Timeout(self._left_s())
            ) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _MAX_ANSWER_BYTES:
                        raise EngineError(f"the API server's answer to {path} has more than {_MAX_ANSWER_BYTES} bytes")
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise _lost(error) from error
        return _parsed(response.status_code, bytes(content), path)

    @contextlib.contextmanager
    def _stream(self, path: str, parameters: Mapping[str, str], *, read_s: float | None) -> Iterator[Iterator[bytes]]:
        """Yield the lines of an answer; `read_s` is the longest silence, None for the usual."""
        timeout = httpx2.Timeout(self._left_s())
        if read_s is not None:
            timeout = httpx2.Timeout(self._left_s(), read=read_s)
        try:
            with self._http.stream("GET", path, params=dict(parameters), timeout=timeout) as response:
                if response.status_code == httpx2.codes.GONE:
                    raise GoneError
                if response.is_error:
                    _parsed(response.status_code, response.read()[:_MAX_ANSWER_BYTES], path)
                yield _lines(response.iter_bytes())
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise _lost(error) from error


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield whole lines; a rest without an end is yielded too, and a line beyond the bound in pieces of that size."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield from _pieces(line)
        *pieces, rest = _pieces(rest)
        yield from pieces
    if rest:
        yield rest


def _pieces(line: bytes) -> list[bytes]:
    """Return a line in pieces of the bound's size, of which the last one is shorter; one piece where it is short."""
    return [line[at : at + MAX_LINE_BYTES] for at in range(0, len(line) + 1, MAX_LINE_BYTES)]


def _lost(error: Exception) -> EngineError:
    reason = str(error) or type(error).__name__
    return EngineError(f"the cluster's API server does not answer: {reason[:300]}", hint=HINT)


def _parsed(status: int, content: bytes, path: str) -> dict[str, Any]:
    try:
        answer = json.loads(content) if content else {}
    except ValueError:
        answer = {"message": content[:_MAX_MESSAGE].decode("utf-8", errors="replace")}
    if not isinstance(answer, dict):
        raise EngineError(f"the API server's answer to {path} is no object", hint=HINT)
    if status >= httpx2.codes.BAD_REQUEST:
        raise _refusal(status, answer)
    return answer


def _refusal(status: int, answer: Mapping[str, Any]) -> EngineError | ClusterRefusalError:
    """Return the error that a Status object describes; one that passes by itself is the server's trouble."""
    reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))[:_MAX_MESSAGE]
    if status in _PASSING:
        return EngineError(f"the cluster's API server fails ({status} {reason}): {message}".strip(), hint=HINT)
    hint = "the token of the kubeconfig or of the service account is not accepted: make a new one"
    if status != httpx2.codes.UNAUTHORIZED:
        hint = "give Squire's service account the rights of docs/reference/kubernetes.md, and run `squire doctor`"
    return ClusterRefusalError(
        f"the cluster's API server refuses ({status} {reason}): {message}".strip(),
        hint=hint,
        status=status,
        reason=reason,
    )
