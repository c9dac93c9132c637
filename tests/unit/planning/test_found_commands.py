import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.repository_facts import CommandPurpose
from squire_pipelines.planning.ci_lines import lines_run_by
from squire_pipelines.planning.found_commands import (
    MAX_COMMAND_CHARS,
    MAX_PER_PURPOSE,
    files_to_read,
    find_commands,
    package_managers,
)

_WORKFLOW = """\
on: push
jobs:
  test:
    steps:
      - uses: actions/checkout@v4
      - name: pytest is not run by a name
        run: uv sync --frozen
      - run: |
          uv run ruff check .
          uv run pytest -q \\
            --maxfail=1
      - run: pytest ${{ matrix.args }}
      - run: echo "nothing"
"""


def commands(texts: dict[str, str], *paths: str) -> dict[str, list[str]]:
    """What is found, by purpose."""
    by_purpose: dict[str, list[str]] = {}
    for command in find_commands(texts, {*texts, *paths}):
        by_purpose.setdefault(command.purpose, []).append(command.command)
    return by_purpose


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        ("package-lock.json", {"setup": ["npm ci"], "tests": ["npm test"], "lint": ["npm run lint"]}),
        ("pnpm-lock.yaml", {"setup": ["pnpm install --frozen-lockfile"], "tests": ["pnpm run test"]}),
        ("README.md", {"setup": ["npm install"], "tests": ["npm test"]}),
    ],
)
def test_scripts_of_a_package_are_run_by_the_manager_whose_lock_file_is_there(
    lock: str, expected: dict[str, list[str]]
) -> None:
    manifest = json.dumps({"scripts": {"test": "vitest", "lint": "eslint .", "start": "node ."}})
    assert commands({"package.json": manifest}, lock).items() >= expected.items()


def test_the_script_that_npm_init_writes_is_no_test() -> None:
    manifest = json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})
    assert "tests" not in commands({"package.json": manifest})


def test_a_python_project_is_tested_by_its_manager() -> None:
    text = '[build-system]\n[project]\ndependencies = ["pytest"]\n[tool.ruff]\n'
    assert commands({"pyproject.toml": text}, "uv.lock") == {
        "setup": ["uv sync --frozen"],
        "tests": ["uv run pytest"],
        "lint": ["uv run ruff check ."],
        "build": ["uv build"],
    }


def test_targets_of_a_makefile_are_commands_and_variables_are_none() -> None:
    text = "lint := yes\n.PHONY: test\ntest: build\n\tpytest\nbuild:\n\ttrue\n"
    assert commands({"Makefile": text}) == {"tests": ["make test"], "build": ["make build"]}


def test_what_a_workflow_runs_is_read_and_what_needs_its_expressions_is_not() -> None:
    assert commands({".github/workflows/ci.yml": _WORKFLOW}) == {
        "setup": ["uv sync --frozen"],
        "lint": ["uv run ruff check ."],
        "tests": ["uv run pytest -q --maxfail=1"],
    }


def test_instructions_name_commands_in_code_alone() -> None:
    text = "Run pytest often.\n\n```sh\n$ make test  # all\n```\n\nBefore a commit: `pre-commit run -a`.\n"
    assert commands({"AGENTS.md": text}) == {"tests": ["make test"], "lint": ["pre-commit run -a"]}


def test_a_manifest_comes_before_ci_and_instructions() -> None:
    texts = {"AGENTS.md": "`tox -e py`", ".github/workflows/a.yml": "run: nox", "Makefile": "test:\n"}
    sources = [command.source for command in find_commands(texts, texts)]
    assert sources == ["Makefile", ".github/workflows/a.yml", "AGENTS.md"]


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x1b[2K", "\x07"])
def test_a_command_with_something_unseen_in_it_is_not_offered(hidden: str) -> None:
    assert commands({"AGENTS.md": f"`make test {hidden}x`\n`make check`"}) == {"tests": ["make check"]}


def test_package_managers_are_those_whose_files_are_at_the_root() -> None:
    assert package_managers({"uv.lock", "pyproject.toml", "web/package.json"}) == ("uv",)
    assert package_managers({"package.json", "requirements.txt", "go.mod"}) == ("go", "npm", "pip")


def test_files_whose_names_hold_a_line_break_are_not_read() -> None:
    paths = {".github/workflows/a\nb.yml", ".github/workflows/a.yml", "src/Makefile", "Makefile"}
    assert files_to_read(paths) == ("Makefile", ".github/workflows/a.yml")


@pytest.mark.parametrize(
    "text",
    [
        "run: [" + "[" * 30_000,
        "a: &a [x]\n" + "\n".join(f"{name}: &{name} [*a, *a]" for name in "bcdefgh") + "\nrun: *h",
        "run: {pytest: run, ? [run, pytest] : run}",
        "run: !!python/object/apply:os.system [pytest]",
        "\ttabs: are no indentation",
        "run: \x00",
        "",
    ],
)
def test_a_hostile_ci_file_ends_soon_and_raises_nothing(text: str) -> None:
    began = time.process_time()
    list(lines_run_by(text))
    assert time.process_time() - began < 5


@given(
    st.dictionaries(
        st.sampled_from(["AGENTS.md", "Makefile", "package.json", "pyproject.toml", ".github/workflows/a.yml"]),
        st.one_of(st.text(), st.text(alphabet="`\nmake test:run- pytest{}[]\"'")),
    )
)
def test_whatever_files_say_few_and_short_commands_on_one_line_are_found(texts: dict[str, str]) -> None:
    commands = find_commands(texts, set(texts))
    for purpose in CommandPurpose:
        assert sum(command.purpose is purpose for command in commands) <= MAX_PER_PURPOSE
    assert all(len(command.command) <= MAX_COMMAND_CHARS and command.command.isprintable() for command in commands)
