"""Our own pull requests: failed checks are mended, remarks answered; what that does not settle is left to people."""

import json
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.adapters.transcript import ModelText, dump
from squire_pipelines.domain.base_updates import ForeignHead
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus
from squire_pipelines.execution.follow_telling import has_to_tell
from squire_pipelines.execution.following import take_steps
from squire_pipelines.ledger import base_merges, followed_pulls, outcomes, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.base_merges import HeadPair
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.telling_tries import MAX_TRIES
from tests.support.git_repository import git
from tests.support.ledgers import dispatch, list_tasks
from tests.support.pipeline import LEDGERLIB, Pipeline, output_metadata

pytestmark = pytest.mark.slow
_SHARES = "[share + (i < total % parts) for i in range(parts)]"
MENDED = f"sed -i 's/return \\[share\\] \\* parts/return {_SHARES}/' ledgerlib/money.py"
AT_ONCE = "[follow]\nsettling_s = 0.001\n[pipeline]\noutcome_poll_s = 0.001"
LEFT = "[follow]\nchecks = false\n[pipeline]\noutcome_poll_s = 0.001"


def our_pull(forge: ForgeProcess) -> dict[str, Any]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    (pull,) = [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]
    return dict(pull)


def use(pipeline: Pipeline, command: str, more: str = AT_ONCE) -> None:
    pipeline.commands = {LEDGERLIB: ("sh", "-c", command)}
    pipeline.configure(more)


def open_one(pipeline: Pipeline, forge: ForgeProcess) -> Attempt:
    """A pull request of ours whose checks fail, since its base's do."""
    use(pipeline, "echo one >> NOTES.md")
    attempt = pipeline.attempt(signals=())
    pipeline.agent_run(attempt)
    forge.settle()
    return pipeline.read_attempt(attempt.id)


def look(pipeline: Pipeline) -> dict[str, Any]:
    """Read the signals, then GitHub's word on our pull requests, and take steps; twice, since one brings another."""
    pipeline.collect(LEDGERLIB)
    return output_metadata(pipeline.run("follow")) | output_metadata(pipeline.run("follow"))


def state_of(pipeline: Pipeline, task_id: str) -> tuple[str | None, str | None]:
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    return outcome.follow_state, outcome.follow_reason


def work_on(pipeline: Pipeline, task_id: str) -> list[tuple[str, FollowUpKind | None, TaskStatus]]:
    with pipeline.ledger.read() as tx:
        (followed,) = followed_pulls.read_followed(tx, task_ids=[task_id])
    return [(w.task_id, w.follow_up.kind if w.follow_up else None, w.status) for w in followed.work]


def run_next(pipeline: Pipeline) -> Attempt:
    (attempt,) = dispatch(pipeline.ledger)
    pipeline.agent_run(attempt)
    return pipeline.read_attempt(attempt.id)


def test_failed_checks_are_mended_on_the_same_branch_and_pull_request(pipeline: Pipeline, forge: ForgeProcess) -> None:
    first = open_one(pipeline, forge)
    look(pipeline)
    assert state_of(pipeline, first.task_id) == (FollowState.FIXING, "an agent mends its checks")
    ((work, kind, status),) = work_on(pipeline, first.task_id)
    assert (kind, status) == (FollowUpKind.CHECKS, TaskStatus.READY)
    with pipeline.ledger.read() as tx:
        prompt = tasks.get(tx, work).spec.prompt
    assert "test_no_cent_is_lost" in prompt, "the failure's own words"
    use(pipeline, MENDED)
    second = run_next(pipeline)
    forge.settle()
    assert (second.task_id, second.pr_number) == (work, first.pr_number)
    assert our_pull(forge)["head_sha"] == second.head_sha != first.head_sha
    shown = look(pipeline)
    assert state_of(pipeline, first.task_id) == (FollowState.MERGED, "")
    with pipeline.ledger.read() as tx:
        assert len(list_tasks(tx)) == 2
    assert shown["pull_requests"] == f"- [{LEDGERLIB}\\#{first.pr_number}]({first.pr_url})"


def test_checks_that_stay_red_are_left_to_people_with_one_comment_and_taken_up_when_asked(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    first = open_one(pipeline, forge)
    for number in range(3):
        look(pipeline)
        use(pipeline, f"echo try {number} >> NOTES.md")
        run_next(pipeline)
        forge.settle()
    look(pipeline)
    look(pipeline)
    reason = "its checks fail after 3 tries to mend them"
    assert state_of(pipeline, first.task_id) == (FollowState.HANDED_OVER, reason)
    (comment,) = our_pull(forge)["comments"]
    assert f"Squire leaves this pull request to people: {reason}." in comment
    assert comment.count("\n- task `") == 3
    assert str(pipeline.home) not in comment
    assert dispatch(pipeline.ledger) == ()
    with pipeline.ledger.write() as tx:
        assert followed_pulls.take_up(tx, first.task_id, actor="github:ann", reason="asked for")
    look(pipeline)
    assert len(work_on(pipeline, first.task_id)) == 4
    (comment,) = our_pull(forge)["comments"]
    assert "Squire goes on with this pull request" in comment
    assert "leaves" not in comment


def test_a_persons_commit_on_the_branch_ends_our_work_there(pipeline: Pipeline, forge: ForgeProcess) -> None:
    first = open_one(pipeline, forge)
    foreign = "f" * 40
    with pipeline.ledger.write() as tx:
        tx.execute(outcome_table.update().values(head_sha=foreign))
    pipeline.collect(LEDGERLIB)
    (looking,) = take_steps(pipeline.ledger, lambda _: pipeline.settings)
    assert looking.step.looks_at_head, "it may be a mere merge of the base"
    with pipeline.ledger.write() as tx:
        base_merges.record(tx, HeadPair(first.task_id, foreign), ForeignHead.SOMEBODYS)
    (taken,) = take_steps(pipeline.ledger, lambda _: pipeline.settings)
    assert (taken.step.state, taken.task_id) == (FollowState.HANDED_OVER, None)
    assert taken.step.reason == "somebody else has pushed to its branch"
    assert work_on(pipeline, first.task_id) == []


def test_remarks_are_heard_and_answered_once_and_threads_resolved_when_done(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    first = open_one(pipeline, forge)
    # Checks that fail keep the forge from merging it. The agent changes another file than the remarks are on.
    use(pipeline, "echo then >> OTHER.md", LEFT)
    forge.act_as(LEDGERLIB, "mara", permission="write")
    for line, body in ((1, "Say when."), (2, "This is wrong.")):
        remark = {"path": "NOTES.md", "line": line, "body": body}
        forge.act_as(LEDGERLIB, "mara", number=first.pr_number, remark=remark)
    review = {"review": "CHANGES_REQUESTED", "review_text": "Explain the whole."}
    forge.act_as(LEDGERLIB, "mara", number=first.pr_number, **review)
    look(pipeline)
    assert state_of(pipeline, first.task_id)[0] == FollowState.ANSWERING
    assert our_pull(forge)["reactions"] == ["EYES"] * 3
    work = work_on(pipeline, first.task_id)[-1]
    assert work[1:] == (FollowUpKind.REMARKS, TaskStatus.READY)
    (attempt,) = dispatch(pipeline.ledger)
    keep = pipeline.settings.home.attempts / attempt.id / "keep"
    pipeline.agent_run(attempt)
    done = pipeline.read_attempt(attempt.id)
    with pipeline.ledger.read() as tx:
        refs = tasks.get(tx, work[0]).spec.signals
    (of_review,) = [ref for ref in refs if b"Thread" not in b64decode(ref.removeprefix("review_finding:"))]
    of_threads = iter(["done: it says when", "declined: it is right"])
    verdicts = [
        f"Remark {number}: {'done: explained' if ref == of_review else next(of_threads)}"
        for number, ref in enumerate(refs, 1)
    ]
    words = ModelText(text="\n".join(["I looked at all.", *verdicts]))
    (keep / TRANSCRIPT).write_text(f"{dump(words)}\n")
    look(pipeline)
    look(pipeline)
    threads = our_pull(forge)["threads"]
    assert [thread["resolved"] for thread in threads].count(True) == 1
    replies = [comment for thread in threads for comment in thread["comments"][1:]]
    assert len(replies) == 2, json.dumps(threads)
    assert any(f"Done in {done.head_sha}: it says when" in text for text in replies)
    assert any("Not changed: it is right" in text for text in replies)
    (comment,) = our_pull(forge)["comments"]
    assert comment.count("remark by `mara`](") == comment.count(": explained (task") == 1, (
        "the text of a review is answered in a comment, once"
    )
    look(pipeline)
    assert len(our_pull(forge)["comments"]) == 1
    assert len(work_on(pipeline, first.task_id)) == 1, "our own answers ask for nothing, nor do other files"


def outcome_row(pipeline: Pipeline) -> Any:
    with pipeline.ledger.read() as tx:
        return tx.execute(select(outcome_table)).one()


def let_wait_end(pipeline: Pipeline) -> None:
    with pipeline.ledger.write() as tx:
        tx.execute(outcome_table.update().values(tell_again_at=tx.now - timedelta(seconds=1)))


def has_to_say(pipeline: Pipeline) -> bool:
    return has_to_tell(pipeline.ledger, lambda _: pipeline.settings)


def left_to_people_with_a_remark(pipeline: Pipeline, forge: ForgeProcess) -> Attempt:
    """A pull request whose remark is dealt with and not answered, and that is left to people, who were not told."""
    first = open_one(pipeline, forge)
    use(pipeline, "echo then >> NOTES.md", LEFT)
    forge.act_as(LEDGERLIB, "mara", permission="write")
    remark = {"path": "NOTES.md", "line": 1, "body": "Say when."}
    forge.act_as(LEDGERLIB, "mara", number=first.pr_number, remark=remark)
    look(pipeline)
    run_next(pipeline)
    with pipeline.ledger.write() as tx:
        (followed,) = followed_pulls.read_followed(tx, task_ids=[first.task_id])
        state = FollowState.HANDED_OVER
        followed_pulls.record_state(tx, followed, state, "it is theirs", handed_over="it is theirs")
    return first


def test_refused_answers_are_tried_a_few_times_and_keep_nothing_else_from_being_said(
    pipeline: Pipeline, forge: ForgeProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    left_to_people_with_a_remark(pipeline, forge)
    forge.add_fault(
        r"^POST .*/pulls/\d+/comments/\d+/replies$", status=403, body='{"message": "locked"}', times=MAX_TRIES
    )
    pipeline.run("follow")
    (comment,) = our_pull(forge)["comments"]
    assert "it is theirs" in comment, "the comment is written though the answer was refused"
    row = outcome_row(pipeline)
    assert (row.tell_tries, row.announced_reason, row.answered_task_id) == (1, "it is theirs", None)
    assert row.tell_error
    assert not has_to_say(pipeline), "it waits before it asks again"
    waits = [row.tell_again_at - row.updated_at]
    for tries in range(2, MAX_TRIES + 1):
        let_wait_end(pipeline)
        assert has_to_say(pipeline)
        pipeline.run("follow")
        row = outcome_row(pipeline)
        if tries < MAX_TRIES:
            assert row.tell_tries == tries
            waits.append(row.tell_again_at - row.updated_at)
    assert waits == sorted(waits)
    assert (row.tell_tries, row.tell_again_at) == (None, None)
    assert row.answered_task_id is not None, "it counts as said"
    assert "locked" in row.tell_error
    assert f"given up after {MAX_TRIES} tries" in capfd.readouterr().err
    # No fault is left: another try would succeed, and be seen.
    assert not has_to_say(pipeline)
    pipeline.run("follow")
    (thread,) = our_pull(forge)["threads"]
    assert len(thread["comments"]) == 1
    assert len(our_pull(forge)["comments"]) == 1


def test_a_refused_hand_over_is_said_later_where_github_takes_it(pipeline: Pipeline, forge: ForgeProcess) -> None:
    left_to_people_with_a_remark(pipeline, forge)
    forge.add_fault(r"^POST .*/issues/\d+/comments$", status=403)
    pipeline.run("follow")
    (thread,) = our_pull(forge)["threads"]
    assert len(thread["comments"]) == 2, "the remark is answered though the comment was refused"
    assert our_pull(forge)["comments"] == []
    let_wait_end(pipeline)
    pipeline.run("follow")
    assert len(our_pull(forge)["comments"]) == 1
    row = outcome_row(pipeline)
    assert (row.tell_tries, row.tell_again_at, row.tell_error) == (None, None, None)


def close(forge: ForgeProcess, number: int) -> None:
    answer = httpx.patch(
        f"{forge.api_url}/repos/{LEDGERLIB}/pulls/{number}",
        json={"state": "closed"},
        headers={"Authorization": f"Bearer {forge.token}"},
        timeout=30,
    )
    answer.raise_for_status()


def test_a_closed_pull_request_whose_change_is_in_the_base_has_landed(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    first = open_one(pipeline, forge)
    url = forge.git_url(LEDGERLIB).replace("://", f"://x-access-token:{forge.token}@")
    git(tmp_path, "clone", "--quiet", url, "person")
    person = tmp_path / "person"
    git(person, "merge", "--quiet", "--squash", f"origin/{our_pull(forge)['head']}")
    close(forge, first.pr_number or 0)
    look(pipeline)
    assert state_of(pipeline, first.task_id) == (FollowState.CLOSED, "")
    assert outcome_row(pipeline).ending == "closed_by_person"
    git(person, "commit", "--quiet", "-m", "Squashed by hand")
    git(person, "push", "--quiet", "origin", "HEAD:main")
    look(pipeline)
    assert state_of(pipeline, first.task_id)[0] == FollowState.CLOSED, "judged once: what comes later is another change"
    with pipeline.ledger.write() as tx:
        tx.execute(outcome_table.update().values(ending=None, judged_at=None))
    look(pipeline)
    assert state_of(pipeline, first.task_id) == (FollowState.LANDED_ELSEWHERE, "")
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, first.task_id)
    assert outcome is not None
    assert (outcome.state, outcome.ending) == (PullRequestState.MERGED, "landed_elsewhere")
