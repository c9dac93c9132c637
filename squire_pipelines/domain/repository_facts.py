"""What is known of a repository: of its code at one commit, and of the work in it. Types; reading them is elsewhere."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from squire_pipelines.domain.frozen import FrozenModel


class CommandPurpose(StrEnum):
    """What a repository's command is for, by the names that the settings have for it."""

    SETUP = "setup"
    TESTS = "tests"
    LINT = "lint"
    BUILD = "build"


class FoundCommand(FrozenModel):
    """A command that the repository's files name, and the file that does. Nobody has run it."""

    purpose: CommandPurpose
    command: str
    source: str


class InstructionFile(FrozenModel):
    """A file that tells people or agents how to work in the repository; `cut` says that only its beginning is here."""

    path: str
    text: str
    cut: bool = False


class LanguageShare(FrozenModel):
    """A language, and which part of the bytes of all known languages is written in it, from 0 to 1."""

    name: str
    share: float = Field(ge=0, le=1)


class HotFile(FrozenModel):
    """A file that changed often, and in how many commits."""

    path: str
    commits: int


class CodeFacts(FrozenModel):
    """What a repository's files say at one commit; it follows from the commit alone.

    `files` is how many there are, and `complete` whether all of them were listed. `folders` has one line for each
    folder with its files, those near the root first. `hot_files` are of the 90 days before `committed_at`; None where
    the history could not be read in time.
    """

    branch: str
    sha: str
    committed_at: datetime
    files: int
    complete: bool
    languages: tuple[LanguageShare, ...] = ()
    package_managers: tuple[str, ...] = ()
    commands: tuple[FoundCommand, ...] = ()
    instructions: tuple[InstructionFile, ...] = ()
    folders: tuple[str, ...] = ()
    hot_files: tuple[HotFile, ...] | None = ()

    def defaults(self) -> dict[CommandPurpose, FoundCommand]:
        """Return the first command of each purpose, which the settings could have for it."""
        first: dict[CommandPurpose, FoundCommand] = {}
        for command in self.commands:
            first.setdefault(command.purpose, command)
        return first


class PastTask(FrozenModel):
    """A task that is under way or ended lately: how it ended, and what became of its pull request."""

    id: str
    title: str
    kind: str
    status: str
    cause: str | None = None
    message: str | None = None
    pull_request: int | None = None
    outcome: str | None = None
    checks: str | None = None
    ended_at: datetime | None = None


class Lesson(FrozenModel):
    """Why attempts failed that the agent or its task could have made succeed: the newest one, and how many like it."""

    count: int
    cause: str
    message: str
    task: str
    at: datetime


class RepeatedRemark(FrozenModel):
    """What reviewers asked for on several pull requests: the newest wording, whose it is, and the pull requests."""

    text: str
    author: str
    count: int
    pull_requests: tuple[int, ...]


class OpenPullRequestTitle(FrozenModel):
    """An open pull request, by the words of its author."""

    number: int
    title: str
    author: str
    draft: bool


class WorkHistory(FrozenModel):
    """What the ledger knows of a repository: tasks, lessons of attempts that failed, remarks, open pull requests."""

    tasks: tuple[PastTask, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    remarks: tuple[RepeatedRemark, ...] = ()
    pull_requests: tuple[OpenPullRequestTitle, ...] = ()


class RepositoryContext(FrozenModel):
    """What a planner is told of a repository beside its signals; without `code`, `why_no_code` says why."""

    repository: str
    code: CodeFacts | None = None
    why_no_code: str = ""
    history: WorkHistory = WorkHistory()
