"""What a planner is given of repositories beside their signals, and how it is asked for."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from squire_pipelines.domain.repository_facts import (
    CodeFacts,
    CommandPurpose,
    FoundCommand,
    HotFile,
    InstructionFile,
    LanguageShare,
    Lesson,
    PastTask,
    RepeatedRemark,
    RepositoryContext,
    WorkHistory,
)
from squire_pipelines.planning.context_text import MAX_CONTEXT_BYTES, describe_contexts
from squire_pipelines.planning.named_paths import PathLookup


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What is known of the repositories that are planned, one or those of a group, and how much of it a model reads.

    Args:
        repositories: What is known of each.
        max_bytes: Of all texts in the prompt together.
        existing: By repository: says which paths there are at the heads that it was read at.
    """

    repositories: tuple[RepositoryContext, ...]
    max_bytes: int = MAX_CONTEXT_BYTES
    existing: Mapping[str, PathLookup] = field(default_factory=dict)

    @property
    def heads(self) -> dict[str, str | None]:
        """The commit that is known of each repository, None where the code could not be read."""
        return {one.repository: one.code.sha if one.code is not None else None for one in self.repositories}

    def texts(self, max_bytes: int) -> dict[str, str]:
        """Return what the model reads of each repository, by its name, in at most `max_bytes` bytes together."""
        return describe_contexts(self.repositories, max_bytes=max_bytes)

    def text(self, max_bytes: int) -> str:
        """Return what the model reads of the only repository, in at most `max_bytes` bytes."""
        (text,) = self.texts(max_bytes).values()
        return text


def join_contexts(contexts: Iterable[PlanContext], max_bytes: int) -> PlanContext:
    """Return what is known of several repositories as one context, of at most `max_bytes` bytes in the prompt."""
    parts = tuple(contexts)
    return PlanContext(
        tuple(one for part in parts for one in part.repositories),
        max_bytes,
        {name: lookup for part in parts for name, lookup in part.existing.items()},
    )


ContextReader: TypeAlias = Callable[[], Awaitable[PlanContext]]
"""Reads what is known of the repositories. It raises nothing that a repository or GitHub could cause."""

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SAMPLE_CONTEXT = RepositoryContext(
    repository="o/r",
    code=CodeFacts(
        branch="b",
        sha="0",
        committed_at=_LONG_AGO,
        files=1,
        complete=True,
        languages=(LanguageShare(name="l", share=1),),
        package_managers=("m",),
        commands=(FoundCommand(purpose=CommandPurpose.TESTS, command="c", source="s"),),
        instructions=(InstructionFile(path="i", text="t", cut=True),),
        folders=("f",),
        hot_files=(HotFile(path="h", commits=2),),
    ),
    history=WorkHistory(
        tasks=(PastTask(id="t", title="t", kind="k", status="failed", cause="c", message="m", ended_at=_LONG_AGO),),
        lessons=(Lesson(count=1, cause="c", message="m", task="t", at=_LONG_AGO),),
        remarks=(RepeatedRemark(text="t", author="a", count=2, pull_requests=(1, 2)),),
    ),
)
"""One of everything: by it the prompt's version changes with the form in which it is shown."""
