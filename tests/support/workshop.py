"""All that a test about publishing one attempt needs."""

from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.home import Home
from squire_pipelines.publishing.bundle import VerifiedChange, verify_bundle
from squire_pipelines.publishing.mirror import Mirror
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
