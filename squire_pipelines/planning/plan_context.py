"""What a planner is given of a repository beside its signals, and how it is asked for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
from squire_pipelines.planning.context_text import MAX_CONTEXT_BYTES, describe_context
from squire_pipelines.planning.named_paths import PathLookup


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What is known of a repository, and how much of it a model reads.

    Args:
        repository: What is known.
        max_bytes: Of the text in the prompt.
        existing: Says which paths there are at the heads that the repository was read at.
    """

    repository: RepositoryContext
    max_bytes: int = MAX_CONTEXT_BYTES
    existing: PathLookup | None = None

    def text(self, max_bytes: int) -> str:
        """Return what the model reads, in at most `max_bytes` bytes."""
        return describe_context(self.repository, max_bytes=max_bytes)


ContextReader: TypeAlias = Callable[[], Awaitable[PlanContext]]
"""Reads what is known of a repository. It raises nothing that the repository or GitHub could cause."""

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SAMPLE = PlanContext(
    RepositoryContext(
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
)
"""One of everything: by it the prompt's version changes with the form in which it is shown."""
