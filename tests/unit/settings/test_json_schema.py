"""The JSON Schema takes what the settings take, refuses what they refuse, and names what an editor completes."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from squire_pipelines.cli.init import config_text
from squire_pipelines.settings.json_schema import settings_schema

ROOT = Path(__file__).parents[3]
SCHEMA = settings_schema()
VALIDATOR = Draft7Validator(SCHEMA)


def problems(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def test_it_is_a_schema_without_what_toml_does_not_have() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert "null" not in str(SCHEMA)
    assert SCHEMA["definitions"]["DispatchSettings"]["properties"]["lease_s"]["description"]


def test_what_init_writes_fits_with_every_default() -> None:
    lines = [
        line.removeprefix("# ") if re.match(r"# \w+ = (?!\"?…)", line) else line
        for line in config_text(["a/b"]).splitlines()
    ]
    assert problems("\n".join(lines).split("# Settings of one repository")[0]) == []


def test_every_example_in_the_guide_fits() -> None:
    page = (ROOT / "docs" / "guide" / "configuration.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(examples) >= 2
    assert [problems(text) for text in examples] == [[] for _ in examples]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[dispatch]\nmax_concurent = 1\n", "'max_concurent' was unexpected"),
        ("[dispatch]\nmax_concurrent = 0\n", "0 is less than the minimum of 1"),
        ('[planner]\nkind = "magic"\n', "'magic' is not one of"),
        ('[agent.limits]\nmemory = "4 parsecs"\n', "is not valid under any of the given schemas"),
        ('[repository."a/b".agent]\nmodle = "x"\n', "'modle' was unexpected"),
        ('[repository."a/b".agents.codex]\nmodle = "x"\n', "'modle' was unexpected"),
        ('[repository."a/b".agent.limits]\npids = "x"\n', "is not of type 'integer'"),
        ('[providers.c]\nmodels = ["m"]\n', "'protocol' is a required property"),
    ],
)
def test_what_the_settings_refuse_by_type_it_refuses(text: str, says: str) -> None:
    assert any(says in problem for problem in problems(text))


@pytest.mark.parametrize(
    "text",
    [
        '[agent.limits]\nmemory = "6GiB"\nworkspace = 1000000\n',
        '[[agent.choose]]\nagent = "codex"\n[[agent.choose]]\nagent = { codex = 1, opencode = 2 }\n',
        '[agent]\nprovider = ["a", "b"]\n[repository."a/b".agent]\nprovider = { a = 1, b = 2 }\n',
        '[agents.big.limits]\nmemory = "8GiB"\n',
        '[agent.max_task_limits]\nmemory = "8GiB"\n[agent.options]\nany = [1, { x = "y" }]\n',
    ],
)
def test_what_the_settings_take_in_several_forms_it_takes(text: str) -> None:
    assert problems(text) == []


def test_it_has_each_key_once_with_its_section() -> None:
    properties: dict[str, Any] = SCHEMA["properties"]
    assert {"dispatch", "repositories", "repository", "providers"} <= set(properties)
    assert "limits" in SCHEMA["definitions"]["NamedAgentSettings"]["properties"]
