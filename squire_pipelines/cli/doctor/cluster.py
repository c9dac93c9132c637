"""The check of the cluster in which agents run as Jobs: whether it answers, and what Squire may do there."""

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import SquireError

if TYPE_CHECKING:
    from squire_pipelines.agents.kubernetes.api import ClusterApi

RIGHTS = (
    *(("batch", "jobs", "", verb) for verb in ("create", "get", "list", "delete")),
    *(("", "pods", "", verb) for verb in ("get", "list", "watch", "delete")),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
    *(("", "secrets", "", verb) for verb in ("create", "delete")),
)
"""What the runner needs in the agents' namespace: the API's group, the resource, its part, the verb."""
TOO_MUCH = (("", "secrets", "", "get"), ("", "secrets", "", "list"), ("", "pods", "exec", "create"))
"""What it must not have: whoever takes over a worker would read other attempts' tokens, or enter their pods."""
_LEVEL = "pod-security.kubernetes.io/enforce"


def check_cluster(context: CliContext) -> Iterator[Diagnosis]:
    """Check the API server, the rights there, the namespace, and the name of the door; nothing is made."""
    settings = context.settings
    if not settings.uses_cluster:
        return
    try:
        from squire_pipelines.agents.kubernetes.api import connect  # noqa: PLC0415 - only where it is used
    except ModuleNotFoundError as error:
        step = "pip install 'squire-pipelines[kubernetes]'"
        yield Diagnosis("kubernetes", "fail", f"{error.name} is not installed", step)
        return
    try:
        settings.check_shared()
        with connect(settings.kubernetes) as api:
            yield from look_at_cluster(api, settings.kubernetes.door or "")
    except SquireError as error:
        yield Diagnosis.of_error("kubernetes", error)


def look_at_cluster(api: "ClusterApi", door: str) -> Iterator[Diagnosis]:
    """Yield what is right and wrong there. Raises EngineError, ClusterRefusalError where nothing can be asked."""
    yield Diagnosis("kubernetes", "ok", f"{api.server} answers: {api.version()}")
    yield from _check_rights(api)
    yield _check_namespace(api)
    yield _check_door(door)


def _check_rights(api: "ClusterApi") -> Iterator[Diagnosis]:
    missing = [_shown(right) for right in RIGHTS if not api.may(right[3], right[0], right[1], right[2])]
    if missing:
        message = f"no right in the namespace {api.namespace} to {', '.join(missing)}"
        yield Diagnosis("kubernetes", "fail", message, "give the account the Role of deploy/kubernetes")
    more = [_shown(right) for right in TOO_MUCH if api.may(right[3], right[0], right[1], right[2])]
    if more:
        message = f"more rights in the namespace {api.namespace} than Squire needs: {', '.join(more)}"
        yield Diagnosis("kubernetes", "warn", message, "take them from the account that Squire has there")
    if not missing and not more:
        yield Diagnosis("kubernetes", "ok", f"the rights in the namespace {api.namespace} are those that it needs")


def _shown(right: tuple[str, str, str, str]) -> str:
    _, resource, part, verb = right
    return f"{verb} {resource}{f'/{part}' if part else ''}"


def _check_namespace(api: "ClusterApi") -> Diagnosis:
    from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError  # noqa: PLC0415 - likewise

    try:
        labels = (api.read_namespace().get("metadata") or {}).get("labels") or {}
    except ClusterRefusalError as error:
        step = "let the account get the namespace, or look at it with kubectl"
        return Diagnosis("kubernetes", "warn", f"the namespace {api.namespace} is not known: {error.message}", step)
    level = labels.get(_LEVEL)
    if level == "restricted":
        return Diagnosis(
            "kubernetes", "ok", f"the namespace {api.namespace} enforces the Pod Security level restricted"
        )
    message = f"the namespace {api.namespace} does not enforce the Pod Security level restricted"
    step = f"kubectl label namespace {api.namespace} {_LEVEL}=restricted"
    return Diagnosis("kubernetes", "warn", message, step)


def _check_door(door: str) -> Diagnosis:
    host, _, port = door.rpartition(":")
    try:
        address = str(socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        step = "look at the workers' Service, and at kubernetes.door"
        return Diagnosis("kubernetes", "warn", f"kubernetes.door: {host} is not known here: {error.strerror}", step)
    return Diagnosis("kubernetes", "ok", f"kubernetes.door {door} is {address}")
