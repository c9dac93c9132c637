"""What a package implements to be a source of signals, and the facts that it yields. docs/reference/sources.md."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, AwareDatetime, Field

from squire_pipelines.domain.branches import parse_branch
from squire_pipelines.domain.frozen import FrozenModel

MAX_BODY = 20_000
MAX_FACTS = 500
NAME = r"[a-z][a-z0-9_]{0,29}"
"""A source's name, which is a part of its asset's and of its signals' keys."""

Key = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f\x7f]+$")]
Branch = Annotated[str, Field(max_length=255), AfterValidator(parse_branch)]


class SourceFact(FrozenModel):
    """One fact that a source has seen.

    `key` names it among the source's facts of the repository and stays the same while it lasts. `version` changes when
    it does; without one, title and body are the version. `branch` is where the work belongs, None for the default one.
    """

    key: Key
    title: str = Field(min_length=1, max_length=300)
    body: str = Field(default="", max_length=MAX_BODY)
    url: str = Field(default="", max_length=2_000, pattern=r"^(https?://\S+)?$")
    version: str = Field(default="", max_length=200)
    author: str = Field(default="", max_length=200)
    branch: Branch | None = None
    updated_at: AwareDatetime | None = None
    allow_protected: tuple[str, ...] = Field(default=(), max_length=50)


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is asked with: for which repository (`owner/name`), its options in the settings, and the time."""

    repository: str
    options: Mapping[str, Any]
    now: datetime


class SignalSource(Protocol):
    """A source of signals. It is made without arguments, in a process of its own that has no secrets.

    `name` is the entry point's, and `description` says in one sentence what is read.
    """

    name: str
    description: str

    def read(self, context: SourceContext) -> Iterable[SourceFact]:
        """Return all facts of a repository as they are now. Whatever is raised makes this reading a failed one."""
        ...
