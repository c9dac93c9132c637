"""The schema of a repository's own file takes what the file may say, and nothing else."""

import re
import tomllib

import pytest
from jsonschema import Draft7Validator

from squire_pipelines.repository_files.json_schema import repository_schema
from squire_pipelines.repository_files.template import proposed_file

SCHEMA = repository_schema()


def problems(text: str) -> list[str]:
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(tomllib.loads(text))]


def test_everything_that_a_repository_is_offered_fits() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert "null" not in str(SCHEMA)
    assert problems(re.sub(r"^# (?=[a-z_]+ = )", "", proposed_file(), flags=re.MULTILINE)) == []


@pytest.mark.parametrize(
    "text", ["[policy]\nmax_flies = 1\n", "[agent]\nkind = 'command'\n", "[planner]\nmax_tasks = 0\n"]
)
def test_what_the_file_may_not_say_does_not_fit(text: str) -> None:
    assert problems(text)
