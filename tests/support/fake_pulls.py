"""Pull requests kept in a file, so that they outlive a process that a test kills; every call is recorded."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from squire_pipelines.github.pulls import PullRequestRef
from squire_pipelines.publishing.pull_requests import PullRequests


class FakePulls(PullRequests):
    """What publishing needs of GitHub; `head_of` tells where a branch is."""

    def __init__(self, store: Path, head_of: Callable[[str], str]) -> None:
        self._store = store
        self._head_of = head_of
        self.errors: list[Exception] = []

    def _load(self) -> list[dict[str, Any]]:
        return json.loads(self._store.read_text()) if self._store.exists() else []

    def _save(self, pulls: list[dict[str, Any]]) -> None:
        self._store.write_text(json.dumps(pulls))

    @property
    def all(self) -> list[dict[str, Any]]:
        """Every pull request with its text and labels."""
        return self._load()

    def set_state(self, number: int, state: str) -> None:
        """Close or merge one."""
        pulls = self._load()
        pulls[number - 1]["ref"]["state"] = state
        self._save(pulls)

    def _ref(self, pull: dict[str, Any]) -> PullRequestRef:
        ref = PullRequestRef(**pull["ref"])
        ref = replace(ref, title=pull["title"], body=pull["body"])
        return replace(ref, head_sha=self._head_of(pull["head"])) if ref.state == "open" else ref

    async def find(self, repository: str, head_branch: str) -> PullRequestRef | None:
        """The newest of the branch."""
        of_branch = [p for p in self._load() if p["repository"] == repository and p["head"] == head_branch]
        return self._ref(of_branch[-1]) if of_branch else None

    async def create(
        self, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequestRef:
        """Open one."""
        if self.errors:
            raise self.errors.pop()
        pulls = self._load()
        ref = PullRequestRef(
            number=len(pulls) + 1,
            url=f"https://github.example/{repository}/pull/{len(pulls) + 1}",
            state="open",
            head_sha=self._head_of(head),
            draft=draft,
            base=base,
        )
        pulls.append(
            {"repository": repository, "head": head, "title": title, "body": body, "labels": [], "ref": asdict(ref)}
        )
        self._save(pulls)
        return self._ref(pulls[-1])

    async def update(self, repository: str, number: int, *, title: str, body: str) -> PullRequestRef:
        """Change the text."""
        pulls = self._load()
        pull = pulls[number - 1]
        assert pull["repository"] == repository
        pull |= {"title": title, "body": body}
        self._save(pulls)
        return self._ref(pull)

    async def add_labels(self, repository: str, number: int, labels: Sequence[str]) -> None:
        """Add what is not there."""
        pulls = self._load()
        pull = pulls[number - 1]
        assert pull["repository"] == repository
        pull["labels"] = sorted({*pull["labels"], *labels})
        self._save(pulls)

    async def request_reviewers(self, repository: str, number: int, reviewers: Sequence[str]) -> None:
        """Note who was asked."""
        if self.errors:
            raise self.errors.pop()
        pulls = self._load()
        pull = pulls[number - 1]
        assert pull["repository"] == repository
        pull["reviewers"] = sorted(reviewers)
        self._save(pulls)

    async def take_milestone(self, repository: str, number: int, issues: Sequence[int]) -> None:
        """Note whose milestone was asked for."""
        if self.errors:
            raise self.errors.pop()
        pulls = self._load()
        assert pulls[number - 1]["repository"] == repository
        pulls[number - 1]["milestone_of"] = sorted(issues)
        self._save(pulls)

    async def set_draft(self, repository: str, number: int, *, draft: bool) -> None:
        """Make a draft of it, or no draft."""
        pulls = self._load()
        pull = pulls[number - 1]
        assert pull["repository"] == repository
        pull["ref"]["draft"] = draft
        self._save(pulls)
