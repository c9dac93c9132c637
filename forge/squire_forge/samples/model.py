"""The types of the samples. `catalogue` describes the four samples, `build` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SampleCommit:
    """One commit: the files of `folder` (under the sample's data) that match `paths` are added to the tree."""

    message: str
    author: str
    date: str
    folder: str
    paths: tuple[str, ...] = ("**",)


@dataclass(frozen=True, slots=True)
class SampleBranch:
    """A branch with its commits; one that is not the default branch begins at the default branch's tip."""

    name: str
    commits: tuple[SampleCommit, ...]


@dataclass(frozen=True, slots=True)
class SampleThread:
    """A review thread on the line of `path` that contains `anchor`. An `outsider` may not write to the repository."""

    path: str
    anchor: str
    author: str
    body: str
    bot: bool = True
    outsider: bool = False


@dataclass(frozen=True, slots=True)
class SamplePull:
    """An open pull request of a person."""

    head: str
    title: str
    body: str
    author: str
    threads: tuple[SampleThread, ...] = ()
    summary: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample as the catalogue has it; the first branch is the default branch."""

    owner: str
    name: str
    description: str
    branches: tuple[SampleBranch, ...]
    expectations: tuple[JsonObject, ...] = ()
    issues: tuple[JsonObject, ...] = ()
    pulls: tuple[SamplePull, ...] = ()
    agent_command: tuple[str, ...] = ("python3", "tools/fix.py")
    test_command: tuple[str, ...] = ("python3", "-m", "unittest", "discover", "tests")
    defect_branch: str | None = None

    @property
    def full_name(self) -> str:
        """The repository's name with its owner, `owner/name`."""
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True)
class SampleRepository:
    """A sample that was built.

    Attributes:
        owner: Its owner's login at the forge.
        name: Its name.
        path: The git repository on disk.
        default_branch: The branch that is checked out.
        description: One line about it.
        issues: Bodies of its issues, as the forge takes them.
        pull_requests: Bodies of its pull requests, likewise.
        expectations: What its checks expect, likewise.
        agent_command: The program that fixes it, run in a working tree with $SQUIRE_TASK_FILE set.
        test_command: Runs its own tests in a working tree.
        defect_branch: The branch whose tests fail until that program has run; None when there is no defect.
    """

    owner: str
    name: str
    path: Path
    default_branch: str
    description: str
    issues: tuple[JsonObject, ...]
    pull_requests: tuple[JsonObject, ...]
    expectations: tuple[JsonObject, ...]
    agent_command: tuple[str, ...]
    test_command: tuple[str, ...]
    defect_branch: str | None

    @property
    def full_name(self) -> str:
        """The repository's name with its owner, `owner/name`."""
        return f"{self.owner}/{self.name}"

    def hosting(self) -> JsonObject:
        """Return the body of the forge's `POST /_forge/repos`."""
        return {
            "owner": self.owner,
            "name": self.name,
            "path": str(self.path),
            "default_branch": self.default_branch,
            "description": self.description,
            "issues": [dict(issue) for issue in self.issues],
            "pull_requests": [dict(pull) for pull in self.pull_requests],
            "expectations": [dict(expectation) for expectation in self.expectations],
        }
