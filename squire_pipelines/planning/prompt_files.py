"""The files of the planner's prompt: those of this package in `prompts/`, or an installation's own in their place."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.planning.quoting import WARNING
from squire_pipelines.planning.text_files import read_text_file

MAX_BYTES = 64 * 2**10
"""Of one file."""

PROPOSAL = "proposal.md"
"""The instructions by which a model proposes to split or sharpen a request."""

PLACES = frozenset(
    {"repository", "default_branch", "max_tasks", "max_files", "max_lines", "goals"}
    | {"shown", "offered", "signals", "background", "context"}
)
"""What the question may name as `{{name}}`."""

GROUP_PLACES = frozenset({"group", "max_tasks", "max_files", "max_lines", "goals", "repositories"})
"""What the question about several repositories may name."""

_PLACE = re.compile(r"\{\{(\w{1,40})\}\}")


@dataclass(frozen=True, slots=True)
class PromptFiles:
    """The texts of `NAME.md`, by name.

    Args:
        instructions: What the model is to do, above the question.
        examples: Of good and bad tasks, after it.
        question: With places for a repository's facts, see `PLACES`.
        feedback: Stands before what is wrong with a plan that is sent back.
        group: The question about several repositories together, with places for theirs, see `GROUP_PLACES`.
    """

    instructions: str
    examples: str
    question: str
    feedback: str
    group: str

    @property
    def system(self) -> str:
        """What stands above the question; the last sentence is the code's own, whoever wrote the files."""
        return f"{self.instructions}\n\n{self.examples}\n\n{WARNING}"

    @property
    def digest(self) -> str:
        """Return what changes with any word of them."""
        return hashlib.sha256(f"{self.system}\0{self.question}\0{self.feedback}\0{self.group}".encode()).hexdigest()

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the question with the values in their places; what a value contains is no place."""
        return _fill(self.question, values)

    def fill_group(self, values: Mapping[str, str]) -> str:
        """Return the question about several repositories, likewise."""
        return _fill(self.group, values)


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda match: values[match.group(1)], text).strip()


NAMES = tuple(f"{field.name}.md" for field in fields(PromptFiles))


@cache
def packaged_prompts() -> PromptFiles:
    """Return the files of this package."""
    folder = resources.files("squire_pipelines.planning") / "prompts"
    return PromptFiles(*((folder / name).read_text(encoding="utf-8").strip() for name in NAMES))


def load_prompts(folder: Path | None) -> PromptFiles:
    """Return the files of an installation's folder, and of the package where it has none of that name.

    Raises:
        ConfigError: A file cannot be used.
    """
    own = packaged_prompts()
    if folder is None:
        return own
    texts = [getattr(own, name.removesuffix(".md")) for name in NAMES]
    files = PromptFiles(*(_read(folder / name, text) for name, text in zip(NAMES, texts, strict=True)))
    _check_places(folder / "question.md", files.question, PLACES, needed="signals")
    _check_places(folder / "group.md", files.group, GROUP_PLACES, needed="repositories")
    return files


def load_proposal_prompt(folder: Path | None) -> str:
    """Return by what a model is asked about a person's request: an installation's `proposal.md`, or the package's.

    Raises:
        ConfigError: The installation's cannot be used.
    """
    packaged = resources.files("squire_pipelines.planning") / "prompts" / PROPOSAL
    text = packaged.read_text(encoding="utf-8").strip()
    return f"{text if folder is None else _read(folder / PROPOSAL, text)}\n\n{WARNING}"


def _check_places(path: Path, text: str, known: frozenset[str], *, needed: str) -> None:
    places = _PLACE.findall(text)
    if unknown := sorted(set(places) - known):
        raise _unusable(path, f"it names {unknown[0]!r}, and may name {', '.join(sorted(known))}")
    if needed not in places:
        raise _unusable(path, f"it has no place {{{{{needed}}}}}, without which there is nothing to plan")


def _read(path: Path, packaged: str) -> str:
    try:
        text = read_text_file(path, max_bytes=MAX_BYTES)
    except ValueError as error:
        raise _unusable(path, str(error)) from error
    return packaged if text is None else text


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"the planner's prompt {path} cannot be used: {reason}",
        hint="correct it, or remove it so that Squire's own is used; see planner.prompts in the guide",
    )
