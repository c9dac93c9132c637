"""Publishes one attempt in a process of its own, which kills itself at the step that is named. For tests of crashes.

Arguments: a JSON object with the workshop's paths and names, and the step (or an empty string).
"""

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.publishing.mirror import Mirror
from squire_pipelines.publishing.publication_steps import PublicationStep
from squire_pipelines.publishing.publish_change import Published, policy_from, publish_change
from squire_pipelines.publishing.request import PublishRequest
from squire_pipelines.sections.tasks import PolicySettings
from tests.support.fake_pulls import FakePulls
from tests.support.git_repository import git


class DyingPulls(FakePulls):
    """Dies right after the pull request is there, before the publisher hears of it."""

    die_after_create = False
    die_after_update = False

    async def create(self, *args: Any, **more: Any) -> Any:
        ref = await super().create(*args, **more)
        if self.die_after_create:
            os.kill(os.getpid(), signal.SIGKILL)
        return ref

    async def update(self, *args: Any, **more: Any) -> Any:
        ref = await super().update(*args, **more)
        if self.die_after_update:
            os.kill(os.getpid(), signal.SIGKILL)
        return ref


def main() -> None:
    """Publish; print the pull request's number."""
    paths, step = json.loads(sys.argv[1]), sys.argv[2]
    upstream = Path(paths["upstream"])
    pulls = DyingPulls(Path(paths["pulls"]), lambda branch: git(upstream, "rev-parse", f"refs/heads/{branch}"))
    pulls.die_after_create = step == "created"
    pulls.die_after_update = step == "updated"

    def die(reached: PublicationStep, _detail: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    request = PublishRequest(
        attempt_id="t1-1",
        task_id="t1",
        trace_id="f" * 32,
        queued_at=datetime(2026, 1, 2, tzinfo=UTC),
        repository="acme/app",
        clone_url=str(upstream),
        base_ref="main",
        base_sha=paths["base_sha"],
        branch=paths["branch"],
        bundle=Path(paths["bundle"]),
        scratch=Path(paths["scratch"]),
        spec=TaskSpec(
            key="k", title="Mend add", prompt="Mend it.", base_branch="main", allow_protected=("Dockerfile",)
        ),
        follow_up=paths.get("follow_up"),
    )
    published = asyncio.run(
        publish_change(
            request,
            mirror=Mirror(Path(paths["mirror"]), "acme/app"),
            pulls=pulls,
            token=None,
            policy=policy_from(PolicySettings()),
            on_step=die,
        )
    )
    assert isinstance(published, Published)
    sys.stdout.write(json.dumps({"number": published.pull_request.number, "created": published.created}))


if __name__ == "__main__":
    main()
