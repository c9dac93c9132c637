"""Knows the programs that `squire agents build` can add to the worker image: definitions and locks. Asks no engine."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from squire_pipelines.agent_names import WITH_IMAGE
from squire_pipelines.agents.worker_files import worker_file
from squire_pipelines.errors import ConfigError

_FOLDER = "agents"
_OPENCODE, _OPENCODES_LOCK = "opencode", "opencode.lock"
_PYPI_VERSION = r"^{}==([^ ;\\]+)"


class Program(BaseModel):
    """One table of `programs.toml`, whose comments say what each key means, with its lock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    registry: Literal["npm", "pypi"]
    package: str
    command: str
    run: str
    node: bool = False
    unpacks_into: str = ""
    remove: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    licence: str
    ours_to_ship: bool = True

    @property
    def lock(self) -> str:
        """The text of its lock. Raises ConfigError when the installation lacks it."""
        return worker_file(f"{_FOLDER}/{self.name}.lock").read_text(encoding="utf-8")

    @property
    def lock_digest(self) -> str:
        """The lock's SHA-256 as it is on the image's label."""
        return f"sha256:{hashlib.sha256(self.lock.encode()).hexdigest()}"

    @property
    def version(self) -> str:
        """The version of its package that the lock names. Raises ConfigError."""
        if self.registry == "npm":
            return str(json.loads(self.lock)["version"])
        match = re.search(_PYPI_VERSION.format(re.escape(self.package)), self.lock, re.MULTILINE)
        if match is None:
            raise ConfigError(f"the lock of {self.name} does not name {self.package}", hint="install Squire again")
        return match[1]

    def definition(self) -> dict[str, JsonValue]:
        """Return what the build's `program.json` says."""
        return {**self.model_dump(mode="json"), "version": self.version}


@cache
def programs() -> Mapping[str, Program]:
    """Return all programs by name. Raises ConfigError when the installation lacks them."""
    tables = tomllib.loads(worker_file(f"{_FOLDER}/programs.toml").read_text(encoding="utf-8"))
    named = {name: {"name": name, **table} for name, table in tables.items()}
    return TypeAdapter(dict[str, Program]).validate_python(named)


def find_program(name: str) -> Program:
    """Return the program of that name. Raises ConfigError."""
    known = programs()
    if name not in known:
        raise ConfigError(
            f"there is no program {name!r} to build an image of",
            hint=f"there are {', '.join(known)}; opencode is in the worker image, and a package's agent needs an "
            "image of yours, which agent.image names",
        )
    return known[name]


def tried_version(kind: str) -> str | None:
    """Return the version of an agent's program that this Squire was tried with, by the program's lock.

    None for an agent that has no program of ours. Raises ConfigError when the installation lacks the lock.
    """
    if kind in WITH_IMAGE:
        return find_program(kind).version
    if kind != _OPENCODE:
        return None
    lines = worker_file(_OPENCODES_LOCK).read_text(encoding="utf-8").splitlines()
    return next(line.split()[2] for line in lines if line.strip() and not line.startswith("#"))
