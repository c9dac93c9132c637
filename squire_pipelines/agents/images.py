"""Builds a program's image FROM the worker image on the user's engine, and finds those that were built.

What goes in is pinned by version and integrity, so that a build is the same program on every machine, or fails.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from squire_pipelines.agent_names import WORKER_IMAGE, image_of
from squire_pipelines.agents import engine
from squire_pipelines.agents.program_locks import Program, programs
from squire_pipelines.agents.worker_files import worker_file
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import BuildFailedError, EngineError, NotReachableError, RefusedError, SquireError

LABEL_AGENT, LABEL_VERSION = "squire.agent", "squire.agent.version"
LABEL_LOCK, LABEL_WORKER = "squire.agent.lock", "squire.agent.worker"
_BASE_LABEL = "org.opencontainers.image.base.name"
_DEFAULT_BASE = "debian:bookworm-slim"
KEPT_TAGS = 2
BUILD_TIMEOUT_S = 1800.0
SILENT_STEP_S = 1300.0
"""How long the engine may say nothing: a step of `install.py` ends by itself before that."""
_MAX_LOG_LINES = 4000
_TOLD, _FAILURE = "squire: ", "squire-failure: "
_CONTEXT_TIME = 1767225600
_HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ProgramImage:
    """A program's image that is on the engine; `outdated` says why it should be built again, and is empty else."""

    program: str
    version: str
    tag: str
    id: str
    size_bytes: int
    created: str
    outdated: str = ""


def context_files(program: Program) -> dict[str, bytes]:
    """Return the build's context, by name. Raises ConfigError when the installation lacks a part."""
    return {
        "Dockerfile": worker_file("agents/Dockerfile").read_bytes(),
        "install.py": worker_file("agents/install.py").read_bytes(),
        "node.txt": worker_file("locks/node.txt").read_bytes(),
        "program.json": json.dumps(program.definition(), sort_keys=True).encode(),
        "program.lock": program.lock.encode(),
        "sbom.py": worker_file("squire_worker/sbom.py").read_bytes(),
    }


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the context as a tar archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), _CONTEXT_TIME, 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def tag_of(program: Program, worker_id: str, files: Mapping[str, bytes]) -> str:
    """Return the tag that says of what the image is made: the version, and a hash over all that goes in."""
    digest = hashlib.sha256(worker_id.encode())
    for name, data in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return f"{_repository(program.name)}:{program.version}-{digest.hexdigest()[:_HASH_DIGITS]}"


def _repository(name: str) -> str:
    return image_of(name).partition(":")[0]


def build_image(
    client: docker.DockerClient,
    program: Program,
    *,
    worker_image: str = WORKER_IMAGE,
    use_cache: bool = True,
    progress: Callable[[str], None] = lambda _line: None,
    timeout_s: float = BUILD_TIMEOUT_S,
) -> ProgramImage:
    """Return the program's image, which is built unless the engine has it with exactly this content.

    `progress` gets a line for each part of the build. `SQUIRE_BUILD_NETWORK` is the network of its steps (`host`,
    where the engine has no bridge); proxies come from Docker's own configuration, as for `docker build`.

    Raises:
        ImageMissingError: The worker image is not on the engine.
        NotReachableError: A registry cannot be reached. EngineError: the engine does not answer, or took too long.
        RefusedError: What the registry served is not what the lock names.
        BuildFailedError: Anything else, with the build's last lines.
    """
    worker = engine.image_attributes(client, worker_image)
    files = context_files(program)
    tag = tag_of(program, worker["Id"], files)
    if use_cache and (built := _inspect(client, tag)) is not None:
        _move_alias(client, tag)
        progress(f"{tag} is there")
        return built
    labels = (worker.get("Config") or {}).get("Labels") or {}
    _run_build(
        client,
        program,
        progress=progress,
        deadline=Deadline.after(timeout_s),
        options={
            "fileobj": io.BytesIO(pack(files)),
            "custom_context": True,
            "tag": tag,
            "nocache": not use_cache,
            "network_mode": os.environ.get("SQUIRE_BUILD_NETWORK") or None,
            "buildargs": {"WORKER_IMAGE": worker_image, "BASE_IMAGE": labels.get(_BASE_LABEL) or _DEFAULT_BASE},
            "labels": {
                LABEL_AGENT: program.name,
                LABEL_VERSION: program.version,
                LABEL_LOCK: program.lock_digest,
                LABEL_WORKER: worker["Id"],
                "org.opencontainers.image.title": _repository(program.name),
                "org.opencontainers.image.licenses": program.licence,
            },
        },
    )
    _move_alias(client, tag)
    _prune(client, program.name)
    image = _inspect(client, tag)
    if image is None:
        raise EngineError(f"the engine built {tag} and does not have it", hint="run the same command again")
    return image


def _run_build(
    client: docker.DockerClient,
    program: Program,
    *,
    progress: Callable[[str], None],
    deadline: Deadline,
    options: dict[str, Any],
) -> None:
    lines: list[str] = []
    error = ""
    with engine.engine_errors(f"the engine did not build the image of {program.name}"):
        answers = client.api.build(rm=True, forcerm=True, decode=True, use_config_proxy=True, **options)
        for answer in answers:
            if deadline.is_past:
                answers.close()  # the engine ends a build whose client is gone
                raise EngineError(f"the image of {program.name} was not built in time", hint="run the command again")
            error = str(answer.get("error") or error)
            for line in str(answer.get("stream") or "").splitlines():
                if line.startswith(_TOLD):
                    progress(line.removeprefix(_TOLD))
                if line.strip() and len(lines) < _MAX_LOG_LINES:
                    lines.append(line.rstrip())
    if error:
        raise explain_failure(program, lines, error)


def explain_failure(program: Program, lines: list[str], error: str) -> SquireError:
    """Return the error that a failed build's output tells."""
    failure = next((line.removeprefix(_FAILURE) for line in lines if line.startswith(_FAILURE)), "")
    kind, _, reason = failure.partition(": ")
    package = f"{program.package} {program.version}"
    registry = {"npm": "npm", "pypi": "PyPI"}[program.registry]
    if kind == "integrity":
        return RefusedError(
            f"{package} or a package that it needs is not what its lock names: {reason}",
            hint=f"nothing was built; if your machine has a mirror of {registry}, its copy is wrong, else run it again",
        )
    if kind == "network":
        return NotReachableError(
            f"{package} cannot be downloaded within the build: {reason}",
            hint="containers need the way to the registries that your machine has: Docker's proxies in "
            "~/.docker/config.json, or SQUIRE_BUILD_NETWORK=host",
        )
    if kind == "missing":
        return NotReachableError(
            f"{registry} does not have {package}, or a package that it needs: {reason}",
            hint=f"if your machine has a mirror of {registry}, it must serve the versions of the lock",
        )
    last = "\n".join(lines[-12:])
    return BuildFailedError(f"the image of {program.name} was not built: {reason or error}", place=last)


def _move_alias(client: docker.DockerClient, tag: str) -> None:
    repository = tag.partition(":")[0]
    with engine.engine_errors(f"the engine does not name {tag} {repository}:latest"):
        client.images.get(tag).tag(repository, "latest")


def _prune(client: docker.DockerClient, name: str) -> None:
    """Remove the tags of a program's older images; one that a container uses stays, as the engine refuses."""
    for image in list_images(client, name)[KEPT_TAGS:]:
        try:
            client.images.remove(image.tag)
        except (DockerException, requests.RequestException):
            continue  # the next build tries again


def list_images(client: docker.DockerClient, name: str | None = None) -> list[ProgramImage]:
    """Return the images of programs that are on the engine, the newest first. Raises EngineError."""
    label = f"{LABEL_AGENT}={name}" if name else LABEL_AGENT
    with engine.engine_errors("the engine does not list its images"):
        images = client.images.list(filters={"label": label})
        described = [image for one in images for image in _describe(client, one.attrs)]
    return sorted(described, key=lambda image: image.created, reverse=True)


def _inspect(client: docker.DockerClient, tag: str) -> ProgramImage | None:
    with engine.engine_errors(f"the engine does not say whether it has the image {tag}"):
        try:
            attributes = client.images.get(tag).attrs
        except ImageNotFound:
            return None
        return next((image for image in _describe(client, attributes) if image.tag == tag), None)


def _describe(client: docker.DockerClient, attributes: Mapping[str, object]) -> Iterator[ProgramImage]:
    config = attributes.get("Config") or attributes
    labels: Mapping[str, str] = (config.get("Labels") if isinstance(config, Mapping) else None) or {}
    name, version = labels.get(LABEL_AGENT), labels.get(LABEL_VERSION)
    tags = attributes.get("RepoTags")
    if not name or not version or not isinstance(tags, list):
        return
    for tag in tags:
        if not str(tag).endswith(":latest"):
            yield ProgramImage(
                name,
                version,
                str(tag),
                str(attributes["Id"]),
                int(str(attributes.get("Size", 0))),
                str(attributes.get("Created", "")),
                why_outdated(client, labels),
            )


def why_outdated(client: docker.DockerClient, labels: Mapping[str, str], worker_image: str = WORKER_IMAGE) -> str:
    """Return why the image with these labels is not what would be built now; empty when it is, or for another image."""
    program = programs().get(labels.get(LABEL_AGENT, ""))
    if program is None:
        return ""
    if labels.get(LABEL_LOCK) != program.lock_digest:
        return f"it has {labels.get(LABEL_VERSION)}, and this Squire's lock names {program.version}"
    try:
        worker = client.images.get(worker_image)
    except ImageNotFound:
        return ""
    return "" if labels.get(LABEL_WORKER) == worker.id else f"{worker_image} is another one since it was built"
