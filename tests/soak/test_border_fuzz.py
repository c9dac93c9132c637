"""Broken bundles and diffs by the thousand; tests/integration/publishing/test_fuzz.py has the short version."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from squire_pipelines.domain.change import Piece
from squire_pipelines.domain.policy import judge
from squire_pipelines.home import Home
from squire_pipelines.publishing.mirror import fetch_mirror
from tests.support.border_fuzz import POLICY, fuzz_bundles
from tests.support.border_values import changed_files, judged_tasks
from tests.support.git_repository import Checkout, make_upstream
from tests.support.workshop import BRANCH, Workshop

pytestmark = pytest.mark.soak
BUNDLES = 10_000
DIFFS = 10_000


def test_ten_thousand_broken_bundles_are_each_named_and_nothing_is_written_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "home"
    home = Home(config=root, data=root, cache=root / "cache", state=root)
    upstream = make_upstream(tmp_path / "upstream.git")
    mirror = fetch_mirror(home, "acme/app", str(upstream), None)
    agent = Checkout(tmp_path / "agent", upstream)
    base_sha = agent.head()
    agent.git("checkout", "--quiet", "-b", BRANCH)
    named = fuzz_bundles(Workshop(tmp_path, home, upstream, mirror, agent, base_sha), count=BUNDLES, seed=20261122)
    print(dict(named.most_common()))  # noqa: T201 - which problems were named
    assert sum(named.values()) == BUNDLES


@settings(max_examples=DIFFS, deadline=None, suppress_health_check=list(HealthCheck))
@given(changed_files(), judged_tasks())
def test_ten_thousand_changes_are_each_judged(files, task) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    verdict = judge(files, POLICY, task=task, pieces=[Piece.of_text("says", file.path) for file in files])
    assert verdict.decision is max((finding.decision for finding in verdict.findings), default=verdict.decision)
