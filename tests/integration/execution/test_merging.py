"""Our own pull requests are merged on GitHub's terms and the settings'; what ends a merge is said once."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.base_checks import BaseVerdict
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.merging import MergeProgress
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.ledger import followed_pulls, merges
from squire_pipelines.ledger.audit import audit_page
from tests.support.forked import ForkedForge
from tests.support.git_repository import Checkout, make_upstream
from tests.support.ledgers import REPOSITORY
from tests.support.merging import EXPECTATION, NAME, ON, OWNER, OurPull

pytestmark = pytest.mark.slow
_numbers = count(1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ForgeProcess, Checkout]]:
    folder = tmp_path_factory.mktemp("merging")
    upstream = make_upstream(folder / "upstream.git")
    with ForkedForge.start(folder / "forge", merge_prefix=None) as forge:
        hosting = {"owner": OWNER, "name": NAME, "path": str(upstream), "default_branch": "main"}
        forge.host_repository({**hosting, "expectations": [EXPECTATION]})
        checkout = Checkout(folder / "checkout", upstream)
        checkout.git("remote", "set-url", "origin", forge.git_url(REPOSITORY))
        yield forge, checkout


@pytest.fixture
def pull(shared: tuple[ForgeProcess, Checkout], tmp_path: Path) -> OurPull:
    return OurPull(*shared, tmp_path, next(_numbers))


def audited(pull: OurPull) -> list[str]:
    with pull.ledger.read() as tx:
        return [row.action for row in reversed(audit_page(tx, action="pull_request.*"))]


def test_it_is_merged_at_the_head_that_was_judged_once_all_conditions_hold(pull: OurPull) -> None:
    pull.settings(enabled=True)
    pull.rules(approvals=1)
    pull.look()
    assert (pull.outcome.follow_state, pull.hosted["state"]) == (FollowState.WAITING_FOR_REVIEW, "open")
    pull.rules()
    pull.look()
    waits = "waits for an approving review of its head by people who may approve"
    assert (pull.outcome.follow_state, pull.outcome.follow_reason) == (FollowState.WAITING_FOR_MERGE, waits)
    assert not pull.is_due, "nothing is new"
    pull.act("stranger", number=pull.number, review="APPROVED")
    pull.look()
    assert pull.outcome.follow_reason == waits
    pull.act("mira", number=pull.number, review="APPROVED")
    pull.look()
    assert pull.hosted["state"] == "merged"
    assert pull.outcome.state is PullRequestState.MERGED
    assert pull.merge.own.progress is MergeProgress.MERGED
    assert audited(pull) == ["pull_request.merge_asked", "pull_request.merged"]
    assert pull.hosted["comments"] == []


def test_a_blocked_one_is_given_to_auto_merge_and_taken_back_when_a_condition_fails(
    pull: OurPull, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull.rules(auto_merge=True, checks=["release"])
    pull.look()
    assert pull.merge.own.progress is MergeProgress.ARMED
    assert pull.outcome.follow_reason == "waits for GitHub's auto-merge"
    pull.act("mira", number=pull.number, remark={"path": "src/app.py", "body": "Why?"})
    with monkeypatch.context() as patch:
        patch.setattr(merges, "record_decision", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pull.look()  # killed right after GitHub has let go of it
    pull.look()
    assert (pull.merge.own.progress, pull.outcome.follow_reason) == (
        MergeProgress.WAITING,
        "waits for the end of an open thread",
    ), "that it is let go of is nobody else's word"
    pull.rules(auto_merge=True)
    pull.forge.settle()
    assert pull.hosted["state"] == "open", "nobody merges it now"


def test_a_person_who_switches_auto_merge_off_has_the_last_word_until_somebody_asks_again(pull: OurPull) -> None:
    pull.rules(auto_merge=True, checks=["release"])
    pull.look()
    pull.act("mira", number=pull.number, not_merged="wait for the release")
    pull.look()
    pull.look()
    assert pull.merge.own.progress is MergeProgress.TAKEN_BACK
    (comment,) = pull.hosted["comments"]
    assert "its auto-merge was switched off: mira: wait for the release, and that is a person's word." in comment
    pull.rules(auto_merge=True)
    pull.look()
    assert pull.hosted["state"] == "open"
    with pull.ledger.write() as tx:
        assert followed_pulls.take_up(tx, pull.task_id, actor="github:mira", reason="asked for")
        assert not merges.permit_again(tx, pull.task_id)
    pull.look()
    assert pull.hosted["state"] == "merged"


def test_a_queue_that_drops_it_is_told_once_and_a_new_head_is_queued_again(pull: OurPull) -> None:
    pull.rules(queue="paused")
    pull.look()
    assert (pull.merge.own.progress, pull.outcome.follow_reason) == (
        MergeProgress.ARMED,
        "waits for GitHub's merge queue",
    )
    pull.act("mira", number=pull.number, not_merged="failed checks")
    pull.look()
    pull.look()
    (comment,) = pull.hosted["comments"]
    assert "Squire could not merge this pull request. The merge queue dropped it: mira: failed checks." in comment
    assert pull.outcome.follow_reason == "the merge queue dropped it: mira: failed checks"
    pull.rules(queue="on")
    pull.look()
    assert pull.hosted["state"] == "open"


def test_what_github_refuses_has_a_name_and_one_message(pull: OurPull) -> None:
    pull.forge.add_fault(r"^PUT .*/merge$", status=403, body='{"message": "Resource not accessible"}')
    pull.look()
    pull.look()
    assert pull.merge.own.progress is MergeProgress.REFUSED
    assert pull.outcome.follow_reason is not None
    assert pull.outcome.follow_reason.startswith(
        "the token may not merge here: Resource not accessible; the token needs"
    )
    (comment,) = pull.hosted["comments"]
    assert "comments `/squire retry`" in comment
    assert not pull.is_due


def test_a_head_that_moved_is_judged_anew_and_an_answer_that_was_lost_is_no_second_merge(pull: OurPull) -> None:
    pull.forge.add_fault(r"^PUT .*/merge$", status=409, body='{"message": "Head branch was modified."}')
    pull.look()
    assert pull.outcome.follow_reason == "waits for what GitHub says of its new head"
    assert not pull.is_due
    pull.clock.forward(360)
    assert pull.is_due
    pull.forge.add_fault(r"^PUT .*/merge$", status=502, after=True)
    pull.look()
    assert pull.merge.own.progress is MergeProgress.REQUESTED, "nobody knows"
    assert pull.hosted["state"] == "merged"
    pull.look()
    assert pull.merge.own.progress is MergeProgress.REQUESTED, "a person may have merged it"
    with pull.ledger.write() as tx:
        merges.settle_judged(tx, pull.task_id, by_person=False)
    assert pull.merge.own.progress is MergeProgress.MERGED
    assert audited(pull) == ["pull_request.merge_asked", "pull_request.merge_asked", "pull_request.merged"]


def test_what_a_merge_broke_is_run_again_told_once_and_taken_back_by_one_pull_request(pull: OurPull) -> None:
    pull.settings(reverts=True)
    pull.checkout.write("src/app.py", "def sub(a, b):\n    return a - b\n")
    pull.push()
    pull.run(lambda client: client.put(f"/repos/{REPOSITORY}/pulls/{pull.number}/merge", {}))
    pull.forge.settle()
    pull.look()
    assert pull.outcome.state is PullRequestState.MERGED
    assert pull.base.reason == "test failed on the merge, and is run again"
    pull.forge.add_fault("^RevertPullRequest$", status=502, after=True)
    pull.look()
    assert (pull.base.verdict, pull.base.revert_number) == (BaseVerdict.BROKEN, None), "its answer was lost"
    assert pull.hosted["comments"] == []
    pull.forge.add_fault(r"^GET .*/pulls$", status=502, times=2)
    pull.look()
    pull.look()
    assert (pull.base.revert_tries, pull.base.revert_number) == (3, None), "no try had an answer"
    pull.look()
    reverts = [one for one in pull.hosted_pulls if one["head"] == f"revert-{pull.number}-{pull.branch}"]
    assert [one["number"] for one in reverts] == [pull.base.revert_number], "one, whatever was lost"
    assert reverts[0]["body"].startswith(f"Reverts {REPOSITORY}#{pull.number}\n")
    assert reverts[0]["state"] == "open", "a person merges it"
    (comment,) = pull.hosted["comments"]
    assert "test passed before the merge and fails now, in a second run, too" in comment
    assert f"#{pull.base.revert_number} takes it back. A person decides" in comment
    pull.run(lambda client: client.put(f"/repos/{REPOSITORY}/pulls/{pull.base.revert_number}/merge", {}))
    pull.forge.settle()


def test_merging_is_off_where_the_settings_say_nothing(pull: OurPull) -> None:
    pull.settings()
    pull.look()
    assert (pull.outcome.follow_reason, pull.is_due) == ("nothing but its merge", False)
    pull.settings(**ON, forbidden_paths=["notes/**"])
    pull.look()
    assert pull.hosted["state"] == "open"
    assert (pull.outcome.follow_reason or "").endswith("is forbidden by notes/**")
