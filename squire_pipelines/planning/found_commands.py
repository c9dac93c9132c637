"""Finds a repository's own commands in its manifests, its CI files and its instructions, running nothing. Pure.

A command is offered to a person and shown to a planner. Nothing runs it because it was found: whoever may write to the
repository could set it.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain

from squire_pipelines.domain.hidden import hidden_character
from squire_pipelines.domain.repository_facts import CommandPurpose, FoundCommand
from squire_pipelines.planning.ci_lines import lines_run_by

MAX_COMMAND_CHARS = 200
MAX_PER_PURPOSE = 4
_MAX_LINES = 2_000

SETUP, TESTS, LINT, BUILD = CommandPurpose.SETUP, CommandPurpose.TESTS, CommandPurpose.LINT, CommandPurpose.BUILD
_Pairs = Iterator[tuple[CommandPurpose, str]]

_WRAPPERS = (
    r"(?:(?:uv run|poetry run|pdm run|pipenv run|hatch run|python3? -m|npx|pnpm exec|pnpm dlx|bunx|bundle exec"
    r"|(?:\./)?(?:\.?venv|env)/bin/(?:python -m )?|[A-Z_]{1,40}=[^ ]{0,60}) ?){0,3}"
)
_RUN = r"(?:npm|pnpm|yarn|bun)(?: run)? "
_KINDS: Mapping[CommandPurpose, str] = {
    SETUP: (
        r"pip3? install|uv sync|uv pip install|poetry install|pdm install|pipenv install|npm (?:ci|install)"
        r"|yarn(?: install)?$|yarn install|pnpm i(?:nstall)?|bun install|bundle install|composer install"
        r"|go mod download|cargo fetch|mix deps\.get|dotnet restore|make (?:setup|deps|bootstrap)|just (?:setup|deps)"
    ),
    TESTS: (
        rf"pytest|py\.test|tox|nox|unittest|{_RUN}test|jest|vitest|mocha|cargo (?:nextest|test)|go test"
        r"|(?:make|just|task) (?:tests?|check)|mvn .{0,60}\b(?:test|verify)|(?:\./)?gradlew? .{0,60}\b(?:test|check)"
        r"|rspec|rake (?:test|spec)|phpunit|composer (?:run )?test|dotnet test|mix test|ctest|deno test|swift test"
        r"|(?:flutter|dart) test|bats"
    ),
    LINT: (
        rf"ruff (?:check|format)|flake8|pylint|mypy|pyright|black|isort|eslint|prettier|biome|tsc"
        rf"|{_RUN}(?:lint|typecheck|format:check)|(?:make|just|task) (?:lint|typecheck)|cargo (?:clippy|fmt)"
        r"|golangci-lint|go vet|gofmt|rubocop|shellcheck|pre-commit run|stylelint|mix format|phpcs|phpstan"
    ),
    BUILD: (
        rf"(?:make|just|task) (?:build|all)|{_RUN}build|cargo build|go build|build$|uv build|cmake --build"
        r"|mvn .{0,60}\b(?:package|install)|(?:\./)?gradlew? .{0,60}\b(?:build|assemble)|dotnet build|mix compile"
        r"|vite build"
    ),
}
_PATTERNS = {kind: re.compile(rf"{_WRAPPERS}(?:{pattern})(?=\s|$)") for kind, pattern in _KINDS.items()}
_TARGETS = {
    **dict.fromkeys(("setup", "deps", "bootstrap"), SETUP),
    **dict.fromkeys(("test", "tests", "check"), TESTS),
    **dict.fromkeys(("lint", "typecheck"), LINT),
    **dict.fromkeys(("build",), BUILD),
}
_MAKE_TARGET = re.compile(r"^([A-Za-z][\w-]{0,40})\s{0,10}:(?![=:])", re.MULTILINE)
_JUST_RECIPE = re.compile(r"^@?([a-z][\w-]{0,40})(?:[ \t][^:=\n]{0,200})?:(?!=)", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)")
_INLINE = re.compile(r"`([^`\n]{1,200})`")
_NO_TEST = "no test specified"

INSTRUCTIONS = (
    *("AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md", "GEMINI.md"),
    *("CONTRIBUTING.md", ".github/CONTRIBUTING.md", "docs/CONTRIBUTING.md"),
)
"""Files that tell agents, then people, how to work in a repository."""

_MANIFESTS = (
    *("Makefile", "justfile", "package.json", "composer.json", "pyproject.toml", "tox.ini", "noxfile.py", "pytest.ini"),
    *("requirements-dev.txt", "requirements.txt", "Cargo.toml", "go.mod", "pom.xml", "Gemfile", ".rspec", "mix.exs"),
)
_CI_FILES = (".gitlab-ci.yml", ".circleci/config.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml")
_WORKFLOW = re.compile(r"\.github/workflows/[\w. -]+\.ya?ml")

MANAGERS: Mapping[str, str] = {
    "uv.lock": "uv",
    "poetry.lock": "poetry",
    "pdm.lock": "pdm",
    "Pipfile.lock": "pipenv",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "package-lock.json": "npm",
    "Cargo.lock": "cargo",
    "Cargo.toml": "cargo",
    "go.mod": "go",
    "Gemfile": "bundler",
    "composer.json": "composer",
    "pom.xml": "maven",
    "build.gradle": "gradle",
    "build.gradle.kts": "gradle",
    "mix.exs": "mix",
    "deno.json": "deno",
    "pubspec.yaml": "pub",
    "Package.swift": "swift",
    "flake.nix": "nix",
}
"""Package managers by the file at a repository's root that shows one."""


def files_to_read(paths: Collection[str]) -> tuple[str, ...]:
    """Return which files of a repository are read for its commands, those of agents' instructions first."""
    workflows = sorted(path for path in paths if _WORKFLOW.fullmatch(path))[:10]
    return tuple(path for path in (*INSTRUCTIONS, *_MANIFESTS, *_CI_FILES, *workflows) if path in paths)


def package_managers(paths: Collection[str]) -> tuple[str, ...]:
    """Return the package managers whose files are at the root."""
    managers = [name for file, name in MANAGERS.items() if file in paths]
    if "package.json" in paths and not {"npm", "pnpm", "yarn", "bun"} & {*managers}:
        managers.append("npm")
    is_python = {"pyproject.toml", "requirements.txt", "setup.py"} & {*paths}
    if is_python and not {"uv", "poetry", "pdm", "pipenv"} & {*managers}:
        managers.append("pip")
    return tuple(dict.fromkeys(managers))


def find_commands(texts: Mapping[str, str], paths: Collection[str]) -> tuple[FoundCommand, ...]:
    """Return the commands that files name: of each purpose those of manifests first, then of CI, then of instructions.

    Args:
        texts: The files of `files_to_read`, by path.
        paths: All paths of the repository.
    """
    sources = [path for path in (*_MANIFESTS, *_CI_FILES) if path in texts]
    sources += sorted(path for path in texts if _WORKFLOW.fullmatch(path))
    sources += [path for path in INSTRUCTIONS if path in texts]
    commands: dict[CommandPurpose, dict[str, FoundCommand]] = {purpose: {} for purpose in CommandPurpose}
    for path in sources:
        for purpose, line in _commands_of(path, texts[path], paths):
            command = " ".join(line.split())
            known = commands[purpose]
            if command not in known and len(known) < MAX_PER_PURPOSE and _may_be_offered(command):
                known[command] = FoundCommand(purpose=purpose, command=command, source=path)
    return tuple(chain.from_iterable(by_text.values() for by_text in commands.values()))


def _may_be_offered(command: str) -> bool:
    # A person is asked to read it: nothing in it may be unseen.
    return 0 < len(command) <= MAX_COMMAND_CHARS and command.isprintable() and hidden_character(command) is None


def _commands_of(path: str, text: str, paths: Collection[str]) -> _Pairs:
    if path in _READERS:
        return _READERS[path](text, paths)
    if path in INSTRUCTIONS:
        return _classified(_lines_of_instructions(text))
    return _classified(lines_run_by(text))


def _classified(lines: Iterator[str]) -> _Pairs:
    for line in lines:
        command = line.strip()
        if len(command) > MAX_COMMAND_CHARS or "${{" in command:
            continue
        for kind, pattern in _PATTERNS.items():
            if pattern.match(command):
                yield kind, command
                break


def _lines_of_instructions(text: str) -> Iterator[str]:
    """Yield the lines of code blocks without their prompt, and what stands between backticks."""
    is_code = False
    for line in text.splitlines()[:_MAX_LINES]:
        if _FENCE.match(line):
            is_code = not is_code
        elif is_code:
            yield line.strip().removeprefix("$ ").partition("  #")[0]
        else:
            yield from _INLINE.findall(line)


def _npm(text: str, paths: Collection[str]) -> _Pairs:
    manager = next((name for name in package_managers(paths) if name in _NPM_SETUP), "npm")
    frozen, loose = _NPM_SETUP[manager]
    has_lock = any(lock in paths for lock, name in MANAGERS.items() if name == manager)
    scripts = _scripts_of(text)
    if scripts:
        yield SETUP, frozen if has_lock else loose
    for name, purpose in (("test", TESTS), ("lint", LINT), ("typecheck", LINT), ("build", BUILD)):
        if _NO_TEST not in scripts.get(name, _NO_TEST):
            yield purpose, f"npm {name}" if (manager, name) == ("npm", "test") else f"{manager} run {name}"


def _composer(text: str, _paths: Collection[str]) -> _Pairs:
    yield SETUP, "composer install"
    for name, purpose in (("test", TESTS), ("lint", LINT)):
        if name in _scripts_of(text):
            yield purpose, f"composer run {name}"


def _scripts_of(text: str) -> dict[str, str]:
    """Return the scripts of a JSON manifest that are one line of text; none of one that cannot be read."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    scripts = manifest.get("scripts") if isinstance(manifest, dict) else None
    if not isinstance(scripts, dict):
        return {}
    # composer.json may have a list of commands in place of one.
    return {name: str(script) for name, script in scripts.items() if isinstance(script, str | list)}


def _pyproject(text: str, paths: Collection[str]) -> _Pairs:
    manager = next((name for name in package_managers(paths) if name in _PYTHON_SETUP), "pip")
    setup, run, build = _PYTHON_SETUP[manager]
    yield SETUP, setup
    if "pytest" in text or "pytest.ini" in paths or "conftest.py" in paths:
        yield TESTS, f"{run}pytest"
    if "[tool.ruff" in text:
        yield LINT, f"{run}ruff check ."
    if "[tool.mypy" in text:
        yield LINT, f"{run}mypy ."
    if "[build-system]" in text:
        yield BUILD, build


def _make(text: str, _paths: Collection[str]) -> _Pairs:
    yield from _targets_in(_MAKE_TARGET.findall(text), "make")


def _just(text: str, _paths: Collection[str]) -> _Pairs:
    yield from _targets_in(_JUST_RECIPE.findall(text), "just")


def _targets_in(names: list[str], program: str) -> _Pairs:
    for target, purpose in _TARGETS.items():
        if target in names:
            yield purpose, f"{program} {target}"


def _always(*pairs: tuple[CommandPurpose, str]) -> Callable[[str, Collection[str]], _Pairs]:
    """Return a reader of a manifest that is there or not, whatever it says."""
    return lambda _text, _paths: iter(pairs)


_NPM_SETUP: Mapping[str, tuple[str, str]] = {
    "pnpm": ("pnpm install --frozen-lockfile", "pnpm install"),
    "yarn": ("yarn install --frozen-lockfile", "yarn install"),
    "bun": ("bun install --frozen-lockfile", "bun install"),
    "npm": ("npm ci", "npm install"),
}
_PYTHON_SETUP: Mapping[str, tuple[str, str, str]] = {
    "uv": ("uv sync --frozen", "uv run ", "uv build"),
    "poetry": ("poetry install", "poetry run ", "poetry build"),
    "pdm": ("pdm sync", "pdm run ", "pdm build"),
    "pipenv": ("pipenv sync --dev", "pipenv run ", "pipenv run python -m build"),
    "pip": ("pip install -e .", "", "python -m build"),
}
_READERS: Mapping[str, Callable[[str, Collection[str]], _Pairs]] = {
    "Makefile": _make,
    "justfile": _just,
    "package.json": _npm,
    "composer.json": _composer,
    "pyproject.toml": _pyproject,
    "tox.ini": _always((TESTS, "tox")),
    "noxfile.py": _always((TESTS, "nox")),
    "pytest.ini": _always((TESTS, "pytest")),
    "requirements-dev.txt": _always((SETUP, "pip install -r requirements-dev.txt")),
    "requirements.txt": _always((SETUP, "pip install -r requirements.txt")),
    "Cargo.toml": _always((SETUP, "cargo fetch"), (TESTS, "cargo test"), (BUILD, "cargo build")),
    "go.mod": _always(
        (SETUP, "go mod download"), (TESTS, "go test ./..."), (LINT, "go vet ./..."), (BUILD, "go build ./...")
    ),
    "pom.xml": _always((TESTS, "mvn -B test"), (BUILD, "mvn -B package -DskipTests")),
    "Gemfile": _always((SETUP, "bundle install")),
    ".rspec": _always((TESTS, "bundle exec rspec")),
    "mix.exs": _always((SETUP, "mix deps.get"), (TESTS, "mix test"), (BUILD, "mix compile")),
}
