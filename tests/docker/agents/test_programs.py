"""Agents' programs in their images, without a network, through the gateway: a change on a repository that is hostile.

Few of them unless SQUIRE_TEST_ALL_AGENTS is set, as `make test-agents` does: to build all images takes minutes.
"""

import dataclasses
import os
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest

from squire_pipelines.agent_names import WITH_IMAGE
from squire_pipelines.agents.adapters.protocol import Agent, AgentConfig, LaunchSpec, Marker
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.images import LABEL_LOCK, ProgramImage, build_image
from squire_pipelines.agents.model import RunResult
from squire_pipelines.agents.program_locks import find_program
from squire_pipelines.agents.sbom import read_file, read_sbom
from squire_pipelines.agents.version_check import check_program
from squire_pipelines.agents.worker_files import worker_file
from squire_pipelines.domain.endings import Cause
from squire_pipelines.gateway.model import GatewayCall, Protocol
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.sections.agents import AgentSettings
from tests.support.agent_programs import commands_of, text_of
from tests.support.attempts import MIB, Origin, small_limits
from tests.support.hostile_projects import HOSTILE, planted, write_project
from tests.support.scripted_provider import (
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    REFUSES,
    ScriptedProvider,
    serve_provider,
)
from tests.support.worker import git

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
QUICK = ("claude-code", "codex")
NAMES = WITH_IMAGE if os.environ.get("SQUIRE_TEST_ALL_AGENTS") else QUICK
KEY = "sk-" + "k" * 30
BRANCH = "squire/t000000001-do-it"
EDIT = "echo 'by a model' >> README.md"
LIMITS = {"memory": 3072 * MIB, "workspace": 256 * MIB, "home": 512 * MIB, "tmp": 512 * MIB, "pids": 256}

ImageOf = Callable[[str], ProgramImage]


@pytest.fixture(scope="module")
def image_of(client: docker.DockerClient) -> ImageOf:
    """Builds the image of a program unless the engine has it."""
    return lambda name: build_image(client, find_program(name))


class Session(NamedTuple):
    """One attempt with a real program."""

    run: RunResult
    calls: list[GatewayCall]
    provider: ScriptedProvider
    changed: set[str]
    readme: str
    log: str


Play = Callable[..., Session]


class Changed:
    """An agent whose start is changed; for the rest it is the agent itself."""

    def __init__(self, agent: Agent, change: Callable[[LaunchSpec], LaunchSpec]) -> None:
        self._agent = agent
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    def launch(self, config: AgentConfig) -> LaunchSpec:
        return self._change(self._agent.launch(config))


def _hostile(origin: Origin, name: str) -> Origin:
    write_project(name, origin.path)
    git(origin.path, "add", "--all", "--force")
    git(origin.path, "commit", "--quiet", "--message=hostile")
    git(origin.path, "bundle", "create", "--quiet", str(origin.bundle), "refs/heads/main")
    return Origin(origin.path, origin.bundle, git(origin.path, "rev-parse", "HEAD"))


@pytest.fixture
def play(runner: DockerRunner, origin: Origin, tmp_path: Path, attempt_id: str, image_of: ImageOf) -> Play:
    def session(
        name: str,
        change: Callable[[LaunchSpec], LaunchSpec] = lambda launch: launch,
        *,
        first: tuple[str, ...] = (),
        prompt: str = "Add a line to README.md.",
        faults: tuple[str, ...] = (),
    ) -> Session:
        image = image_of(name)
        hostile = _hostile(origin, name)
        agent: Any = Changed(find(name), change)
        protocol = agent.protocols[0]
        commands = commands_of(name, *first, EDIT)
        calls: list[GatewayCall] = []
        lock = threading.Lock()

        def on_call(call: GatewayCall) -> None:
            with lock:
                calls.append(call)

        with serve_provider(*commands, text=text_of(name), faults=[*faults]) as provider, socket_directory() as path:
            inputs = hostile.prepared(
                tmp_path,
                agent=agent,
                order=AgentConfig(model=MODEL, protocol=protocol),
                attempt_id=attempt_id,
                prompt=prompt,
                image=image.tag,
                limits=small_limits(**LIMITS, open_files=4096, wall_clock_s=180),
            )
            config = GatewayConfig(
                "a1", (Upstream(provider.url(protocol), KEY, (MODEL,), protocol=Protocol(protocol)),)
            )
            with Gateway(path, config, on_call=on_call) as gateway:
                run = runner.run(
                    inputs,
                    heartbeat=lambda: True,
                    gateway_socket=path,
                    gateway_seen=lambda: gateway.status.seen,
                )
        changed: set[str] = set()
        readme = ""
        if run.bundle is not None:
            readme = hostile.file_after(run.bundle, BRANCH, "README.md")
            changed = set(git(origin.path, "diff", "--name-only", hostile.sha, "refs/squire/result").splitlines())
        return Session(run, calls, provider, changed, readme, inputs.folder.log.read_text(encoding="utf-8"))

    return session


@pytest.mark.parametrize("name", NAMES)
def test_a_program_changes_a_hostile_repository_as_asked_and_obeys_nothing_in_it(play: Play, name: str) -> None:
    session = play(name)
    assert session.run.ending.cause is Cause.COMPLETED, (session.run.ending, session.log[-3000:])
    assert planted(name, changed=session.changed, prompt=session.provider.prompt_text) == set()
    assert session.changed == {"README.md"}, session.log[-3000:]
    assert "by a model" in session.readme
    # What the gateway counted is what the provider said of the calls that it answered.
    answered = session.provider.answered
    assert answered >= (1 if name == "aider" else 2)
    assert sum(call.input_tokens or 0 for call in session.calls if call.output_tokens) == answered * INPUT_TOKENS
    assert sum(call.output_tokens or 0 for call in session.calls) == answered * OUTPUT_TOKENS
    assert KEY not in session.log
    assert session.run.ending.evidence.facts["agent_version"] is not None


LONG_PROMPT = "# Task\n\n" + "A line of a long log.\n" * 9_500 + "The end is reached-the-end.\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_that_is_too_long_for_an_argument_reaches_the_model(play: Play, name: str) -> None:
    assert len(LONG_PROMPT) > 200_000
    # A program that takes it as an argument is told of the file, which its model then reads.
    argv = find(name).launch(AgentConfig(model=MODEL)).argv
    first = ("tail -n 1 /in/prompt.md",) if Marker.PROMPT in argv else ()
    session = play(name, prompt=LONG_PROMPT, first=first)
    assert session.run.ending.cause is Cause.COMPLETED, (session.run.ending, session.log[-3000:])
    assert "reached-the-end" in session.provider.prompt_text
    assert "by a model" in session.readme


@pytest.mark.parametrize("name", NAMES)
def test_a_program_ends_soon_after_a_refusal_that_is_final(play: Play, name: str) -> None:
    """A wrong key: one call reaches the provider, and the program takes the gateway's word for it."""
    session = play(name, faults=(REFUSES,) * 20)
    assert session.run.ending.cause is Cause.CONFIGURATION, (session.run.ending, session.log[-2000:])
    asked = [path for path, _body in session.provider.requests]
    print(f"{name}: {len(session.calls)} calls, {session.run.timings['agent_s']} s")  # noqa: T201 - a figure
    assert len(asked) == 1, asked
    assert len(session.calls) <= 2, session.log[-2000:]


def _without(*words: str, environment: Mapping[str, str] | None = None) -> Callable[[LaunchSpec], LaunchSpec]:
    """A start without some of our words and without taking files out of the clone."""

    def change(launch: LaunchSpec) -> LaunchSpec:
        argv = tuple(word for word in launch.argv if word not in words)
        variables = {**launch.environment, **(environment or {})}
        return dataclasses.replace(launch, argv=argv, environment=variables, restore=(), exclude=())

    return change


# What each repository does to a program that is started without our flags: so the test above can fail.
UNPROTECTED = {
    "aider": (_without("--no-auto-lint"), "RAN-aider-conf"),
    "claude-code": (_without("--setting-sources", "user", "--strict-mcp-config"), "RAN-claude-settings"),
    "codex": (
        _without("-c", "project_doc_max_bytes=0", "skills.include_instructions=false"),
        "squire-mark-codex-skill",
    ),
    "copilot": (_without(environment={"COPILOT_ALLOW_ALL": "true"}), "RAN-copilot-hooks"),
    "gemini": (_without(environment={"GEMINI_CLI_TRUST_WORKSPACE": "true"}), "RAN-gemini-hooks"),
    "pi": (_without("-ne"), "RAN-pi-extension"),
    "qwen": (_without("--bare"), "RAN-qwen-settings"),
}


@pytest.mark.parametrize("name", [name for name in UNPROTECTED if name in NAMES])
def test_the_same_repository_is_obeyed_by_a_program_without_our_flags(play: Play, name: str) -> None:
    change, mark = UNPROTECTED[name]
    session = play(name, change)
    marks = planted(name, changed=session.changed, prompt=session.provider.prompt_text)
    assert mark in marks, (marks, session.run.ending, session.log[-2000:])


def test_the_check_of_agents_compares_the_version_that_an_image_has(
    client: docker.DockerClient, image_of: ImageOf
) -> None:
    image = image_of("codex")
    agent = AgentSettings(kind="codex", model=MODEL, image=image.tag, runner="docker")
    right = check_program(client, agent)
    assert (right.problem, image.version in right.version) == ("", True)
    older = f"FROM {image.tag}\nUSER root\nRUN printf '#!/bin/sh\\necho codex-cli 0.1.0\\n' > /usr/local/bin/codex\n"
    built, _ = client.images.build(fileobj=BytesIO(older.encode()), tag="squire-test-other-version", rm=True)
    try:
        wrong = check_program(client, agent.model_copy(update={"image": built.tags[0]}))
    finally:
        client.images.remove(built.tags[0], force=True)
    assert wrong.version == "codex-cli 0.1.0"
    assert f"this Squire was tried with {image.version}" in wrong.problem
    assert "`squire agents build codex`" in wrong.hint


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_small_and_says_what_is_in_it(client: docker.DockerClient, image_of: ImageOf, name: str) -> None:
    import json  # noqa: PLC0415 - one test's
    import tomllib  # noqa: PLC0415 - likewise

    image, program = image_of(name), find_program(name)
    budget = tomllib.loads(worker_file("budget.toml").read_text(encoding="utf-8"))["agents"][name]
    print(f"{image.tag}: {image.size_bytes / 1e6:.0f} MB")  # noqa: T201 - a figure for the reader
    assert image.size_bytes < budget
    assert (image.version, image.outdated) == (program.version, "")
    attributes = client.images.get(image.tag)
    assert attributes.labels[LABEL_LOCK] == program.lock_digest
    assert attributes.attrs["Config"]["User"] == "10001:10001"
    assert read_file(client, image.tag, f"/etc/squire/{name}.version") == f"{program.version}\n"
    kind = "npm" if program.registry == "npm" else "pypi"
    purls = {part.get("purl", "") for part in json.loads(read_sbom(client, image.tag))["components"]}
    package = program.package.replace("@", "%40")
    assert any(purl.startswith(f"pkg:{kind}/{package}@{program.version}") for purl in purls)
    find = ["find", "/opt/agents", "/usr/local/bin", "-perm", "/6022", "!", "-type", "l"]
    assert client.containers.run(image.tag, entrypoint=find, command=[], network_mode="none", remove=True) == b""
    assert set(HOSTILE) == set(WITH_IMAGE)
