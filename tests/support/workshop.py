"""All that a test about publishing one attempt needs."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.home import Home
from squire_pipelines.publishing.bundle import VerifiedChange, verify_bundle
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from squire_pipelines.publishing.request import PublishRequest
from squire_pipelines.sections.tasks import PublishingSettings
from tests.support.git_repository import Checkout

BRANCH = "squire/t1-mend-add"


def bounds(**values: float) -> PublishingSettings:
    """Bounds on a bundle, also below what the settings permit."""
    return PublishingSettings().model_copy(update=values)


@dataclass
class Workshop:
    """All that a test about one attempt needs."""

    root: Path
    home: Home
    upstream: Path
    mirror: Mirror
    agent: Checkout
    base_sha: str
    branch: str = BRANCH

    def bundle(self) -> Path:
        return self.agent.bundle(self.root / "result.bundle", self.base_sha, self.branch)

    def verify(self, bundle: Path | None = None, settings: PublishingSettings | None = None) -> VerifiedChange:
        return verify_bundle(
            bundle or self.bundle(),
            self.mirror,
            branch=self.branch,
            base_sha=self.base_sha,
            scratch=self.root / "scratch",
            settings=settings,
        )

    def fetch(self) -> None:
        """Bring the mirror up to date with what people pushed."""
        fetch_mirror(self.home, "acme/app", str(self.upstream), None)

    def request(self, **more: Any) -> PublishRequest:
        """What is to be published of the agent's work, with further fields."""
        plain = {
            "attempt_id": "t1-1",
            "task_id": "t1",
            "trace_id": "f" * 32,
            "queued_at": datetime(2026, 1, 2, tzinfo=UTC),
            "repository": "acme/app",
            "clone_url": str(self.upstream),
            "base_ref": "main",
            "base_sha": self.base_sha,
            "branch": self.branch,
            "bundle": self.root / "result.bundle",
            "scratch": self.root / "scratch",
            "spec": TaskSpec(key="k", title="Mend add", prompt="Mend it.", base_branch="main"),
        }
        return PublishRequest(**{**plain, **more})
