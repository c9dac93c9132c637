"""The programs that images are built of: definitions, locks, and what every lock must hold."""

import json
import re

import pytest

from squire_pipelines.agent_names import WITH_IMAGE, WORKER_IMAGE, image_of
from squire_pipelines.agents.endings import IMAGE_HINT, image_hint
from squire_pipelines.agents.program_locks import find_program, programs
from squire_pipelines.agents.worker_files import worker_file
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.agents import AgentSettings

NAMES = sorted(programs())


def test_there_is_a_definition_for_each_agent_with_an_image_of_its_own() -> None:
    assert set(programs()) == set(WITH_IMAGE)


@pytest.mark.parametrize("name", NAMES)
def test_every_package_of_a_lock_has_a_version_and_an_integrity_and_no_address(name: str) -> None:
    program = find_program(name)
    assert re.fullmatch(r"\d+\.\d+\.\d+", program.version)
    assert not re.search(r"://|resolved|\bgit\+", program.lock)
    if program.registry == "npm":
        packages = json.loads(program.lock)["packages"]
        assert packages.pop("")["dependencies"] == {program.package: program.version}
        assert packages[f"node_modules/{program.package}"]["version"] == program.version
        for path, entry in packages.items():
            assert entry["version"], path
            assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", entry["integrity"]), path
    else:
        lines = re.findall(r"^[a-z0-9].*", program.lock, re.MULTILINE)
        assert len(lines) > 1
        assert all(re.match(r"[a-z0-9.-]+(\[[a-z0-9]+\])?==\S+ ", line) for line in lines)
        packages = re.split(r"^(?=[a-z0-9])", program.lock, flags=re.MULTILINE)[1:]
        assert all("--hash=sha256:" in package for package in packages)


@pytest.mark.parametrize("name", [name for name in NAMES if not find_program(name).node])
def test_a_program_of_its_own_is_locked_for_both_processors(name: str) -> None:
    program = find_program(name)
    if program.registry == "npm":
        packages = json.loads(program.lock)["packages"]
        folder = re.match(r"node_modules/@[^/]+/[^/]+", program.run)
        assert folder is not None
        assert {folder[0].format(cpu=cpu) for cpu in ("x64", "arm64")} <= set(packages)


def test_what_is_left_out_is_in_no_lock() -> None:
    for program in programs().values():
        for package in program.left_out:
            assert f'node_modules/{package}"' not in program.lock
            assert not re.search(rf"^{re.escape(package)}==", program.lock, re.MULTILINE)


def test_a_program_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError) as caught:
        find_program("magic")
    assert "'magic'" in caught.value.message
    assert "claude-code" in caught.value.hint


def test_the_image_follows_from_the_kind_unless_the_settings_name_one() -> None:
    assert AgentSettings().worker_image == WORKER_IMAGE
    assert AgentSettings(kind="command").worker_image == WORKER_IMAGE
    assert AgentSettings(image="mine:1").worker_image == "mine:1"
    assert image_of("claude-code") == "squire-worker-claude-code:latest"
    assert image_of("of-a-package") == WORKER_IMAGE


def test_a_missing_image_is_told_with_the_command_that_makes_it() -> None:
    assert image_hint("squire-worker-codex:latest") == "run `squire agents build codex`"
    assert image_hint(WORKER_IMAGE) == image_hint("mine:1") == IMAGE_HINT


def test_the_budget_names_every_program() -> None:
    import tomllib  # noqa: PLC0415 - one test's

    budget = tomllib.loads(worker_file("budget.toml").read_text(encoding="utf-8"))
    assert set(budget["agents"]) == set(WITH_IMAGE)
