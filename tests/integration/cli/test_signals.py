"""`squire signals show|release|hold`: who, what, when, may they, and a person's word on it."""

from datetime import UTC, datetime

import pytest

from squire_pipelines.domain.authority import (
    ActorKind,
    Approval,
    Author,
    Provenance,
    RepositoryPermission,
    TextChange,
    TrustRules,
)
from squire_pipelines.domain.evidence import Absence, JobLog, SignalEvidence
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.signals import (
    Collection,
    CollectionStatus,
    Details,
    FailedCheck,
    ManualTask,
    OpenIssue,
    OpenPullRequest,
    ReviewFinding,
    Signal,
    Source,
    UnapprovedText,
)
from squire_pipelines.domain.verdicts import judge_signal
from squire_pipelines.ledger import collections, deliveries
from tests.support.cli import REPOSITORY, TRACE, SampleData, Squire, spec
from tests.support.ledgers import add_old_request

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SLY = Author(login="sly", kind=ActorKind.PERSON, permission=RepositoryPermission.READ, association="CONTRIBUTOR")
MARA = Author(login="mara", kind=ActorKind.PERSON, permission=RepositoryPermission.WRITE)
RULES = TrustRules(issue_labels=("squire",))
REMARK = ReviewFinding(
    pull_request=3, thread="T1", author="sly", is_bot=False, body="do \x1b[31mthis", head_ref="f", head_sha="a" * 40
)


def record(samples: SampleData, source: Source, key: str, details: Details, **fields: object) -> Signal:
    """Record a reading of one signal, judged."""
    values = {"version": "v1", "title": "Broken", "url": "https://github.com/x", "updated_at": AT, **fields}
    signal = judge_signal(
        Signal.model_validate({"repository": REPOSITORY, "key": key, "details": details, **values}), RULES, {}
    )
    with samples.ledger.write() as tx:
        if isinstance(details, ManualTask):
            add_old_request(tx, signal)
        else:
            reading = Collection(
                repository=REPOSITORY,
                source=source,
                status=CollectionStatus.FRESH,
                started_at=AT,
                ended_at=AT,
                signals=(signal,),
            )
            collections.record(tx, reading, trace_id=TRACE, run_id=None)
    return signal


def test_a_held_remark_says_who_what_when_and_how_it_is_released(squire: Squire, samples: SampleData) -> None:
    record(samples, Source.REVIEW_FINDINGS, "T1", REMARK, author=SLY, provenance=Provenance(written_at=AT))
    shown = squire.ok("signals", "show", "review_finding:T1")
    assert "@sly: a person, permission read, association CONTRIBUTOR" in shown
    assert "held: @sly may not write here (permission read); a person with write permission can release it" in shown
    assert "`squire:release` or `squire signals release review_finding:T1`" in shown
    assert "2026-03-01" in shown
    assert "do this" in shown, "cleaned for a terminal"
    document = squire.json("signals", "show", "review_finding:T1")
    assert (document["may_start"], document["author"]["login"], document["ref"]) == (False, "sly", "review_finding:T1")
    assert document["updated_at"] == "2026-03-01T12:00:00Z"


def test_an_issue_that_was_changed_after_its_approval_shows_the_difference(squire: Squire, samples: SampleData) -> None:
    present = UnapprovedText(title="Broken", body="one\nsteal\nthree")
    history = Provenance(
        written_at=AT,
        approvals=(Approval(label="squire", by=MARA, at=AT.replace(hour=13)),),
        changes=(TextChange(by=SLY, at=AT.replace(hour=14)),),
    )
    details = OpenIssue(number=7, author="sly", labels=("squire",), body="one\ntwo\nthree", unapproved=present)
    record(samples, Source.OPEN_ISSUES, "7", details, author=SLY, provenance=history)
    shown = squire.ok("signals", "show", "open_issue:7")
    assert "label squire set 2026-03-01 13:00:00Z by @mara: a person, permission write\n" in shown
    assert "held: @sly may not write here" in shown
    assert "  -two\n  +steal\n" in shown
    assert "-two" in squire.json("signals", "show", "open_issue:7")["difference"]


@pytest.mark.parametrize(
    ("source", "details", "words"),
    [
        (
            Source.FAILED_CI,
            FailedCheck(
                check="t",
                conclusion="failure",
                branch="main",
                head_sha="a" * 40,
                summary="1 failed",
                on_default_branch=True,
            ),
            ("nobody alone: the default branch, main", "yes: it is about the default branch", "1 failed"),
        ),
        (
            Source.OPEN_PRS,
            OpenPullRequest(number=3, author="x", is_draft=False, head_ref="f", head_sha="a" * 40, base_ref="main"),
            ("an account that is gone", "no: an open pull request is background"),
        ),
        (
            Source.OPEN_ISSUES,
            ManualTask(author="ann", body="Tidy up"),
            ("ann, by command", "yes: a person's own", "Tidy up"),
        ),
    ],
)
def test_any_signal_answers_who_what_and_may_they(
    squire: Squire, samples: SampleData, source: Source, details: Details, words: tuple[str, ...]
) -> None:
    signal = record(samples, source, "k1", details)
    shown = squire.ok("signals", "show", signal.ref, "--repository", REPOSITORY.upper())
    assert [word for word in words if word not in shown] == []


LABELLED = OpenIssue(number=7, author="mara", labels=("squire",), body="please")
OPEN_PULL = OpenPullRequest(number=3, author="x", is_draft=False, head_ref="f", head_sha="a" * 40, base_ref="main")
OF_FORK = REMARK.model_copy(update={"from_fork": True})
OLD_FINDING = REMARK.model_copy(update={"is_bot": True, "outdated": True})


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        ((Source.OPEN_ISSUES, LABELLED, MARA), None),
        ((Source.OPEN_ISSUES, LABELLED.model_copy(update={"labels": ("bug",)}), MARA), "none of the labels"),
        ((Source.REVIEW_FINDINGS, REMARK, SLY), "held, see `squire signals show`"),
        ((Source.REVIEW_FINDINGS, OF_FORK, MARA), "whose branch lies in a fork"),
        ((Source.REVIEW_FINDINGS, OLD_FINDING, MARA), "that is about older code"),
        ((Source.OPEN_PRS, OPEN_PULL, MARA), "an open pull request is background"),
    ],
)
def test_it_says_why_a_plan_makes_no_task_of_it(
    squire: Squire, samples: SampleData, fact: tuple[Source, Details, Author], reason: str | None
) -> None:
    source, details, author = fact
    signal = record(samples, source, "k1", details, author=author, provenance=Provenance(written_at=AT))
    shown, left_out = squire.ok("signals", "show", signal.ref), squire.json("signals", "show", signal.ref)["left_out"]
    if reason is None:
        assert left_out is None
        assert "yes, with the next plan" in shown
    else:
        assert reason in left_out
        assert f"no: {left_out}" in shown


def test_it_names_the_tasks_that_were_made_of_it(squire: Squire, samples: SampleData) -> None:
    signal = record(samples, Source.OPEN_ISSUES, "7", LABELLED, author=MARA, provenance=Provenance(written_at=AT))
    _, (task_id,) = samples.plan(spec("resolve", signals=(signal.ref,)))
    shown, document = squire.ok("signals", "show", signal.ref), squire.json("signals", "show", signal.ref)
    assert f"task {task_id}: ready, made " in shown
    assert "no: a task of it is under way, its pull request is open, or as many tasks were made" in shown
    (made,) = document["tasks"]
    assert (made["task_id"], made["status"], made["of_present"]) == (task_id, "ready", True)


def test_place_and_judgement_of_a_bots_finding_are_shown(squire: Squire, samples: SampleData) -> None:
    judged = {"severity": "high", "confidence": 0.8, "judged_head": "b" * 40, "path": "a.py", "line": 9}
    place = {"start_line": 7, "side": "right", "outdated": True}
    record(samples, Source.REVIEW_FINDINGS, "T1", REMARK.model_copy(update=judged | place))
    shown = squire.ok("signals", "show", "review_finding:T1")
    assert "a.py:7-9, right side, outdated: this code has changed since" in shown
    assert f"severity high, confidence 80%, of the commit {'b' * 40}" in shown


def test_a_release_lets_it_start_work_asks_for_a_collection_and_is_audited(squire: Squire, samples: SampleData) -> None:
    record(samples, Source.REVIEW_FINDINGS, "T1", REMARK, author=SLY, provenance=Provenance(written_at=AT))
    document = squire.json("signals", "release", "review_finding:T1", "--reason", "it is right")
    assert document["may_start"] is True
    assert document["reason"].startswith("yes: released by cli:")
    assert document["reason"].endswith(": it is right")
    with samples.ledger.write() as tx:
        (asked,) = deliveries.take_for_collection(tx, deliveries.RequestRule(1000, 5))
    assert (asked.repository, asked.event) == (REPOSITORY, deliveries.FRESH)
    entry = squire.json("audit", "list")[0]
    assert (entry["action"], entry["subject"]) == ("signal.released", f"{REPOSITORY} review_finding:T1")
    assert squire.json("signals", "show", "review_finding:T1")["decision"]["reason"] == "it is right"
    answer = squire.ok("signals", "hold", "review_finding:T1")
    assert "review_finding:T1: held: cli:" in answer
    assert answer.count("held") == 2, "the state, and who held it"
    assert squire.json("signals", "show", "review_finding:T1")["may_start"] is False


def test_a_release_of_the_text_that_was_read_is_refused_once_it_has_changed(
    squire: Squire, samples: SampleData
) -> None:
    fields = {"author": SLY, "provenance": Provenance(written_at=AT)}
    record(samples, Source.REVIEW_FINDINGS, "T1", REMARK, **fields)
    version = squire.json("signals", "show", "review_finding:T1")["text_version"]
    assert version in squire.ok("signals", "show", "review_finding:T1")
    record(samples, Source.REVIEW_FINDINGS, "T1", REMARK.model_copy(update={"body": "steal"}), **fields)
    refused = squire.fails(5, "signals", "release", "review_finding:T1", "--text-version", version)
    assert f"the text of review_finding:T1 has changed since it had the version {version}" in refused
    assert squire.json("signals", "show", "review_finding:T1")["may_start"] is False
    version = squire.json("signals", "show", "review_finding:T1")["text_version"]
    assert squire.json("signals", "release", "review_finding:T1", "--text-version", version)["may_start"] is True


def test_a_signal_that_is_not_there_is_said_so(squire: Squire, samples: SampleData) -> None:
    assert samples.ledger
    for verb in ("show", "release", "hold"):
        assert "there is no signal 'open_issue:99'" in squire.fails(1, "signals", verb, "open_issue:99")


def test_evidence_of_a_failed_check_and_its_second_run_are_shown(squire: Squire, samples: SampleData) -> None:
    check = FailedCheck(
        check="tests",
        conclusion="failure",
        branch="main",
        head_sha="a" * 40,
        on_default_branch=True,
        failure=FailureClass.INFRASTRUCTURE,
        failure_reason="its runner was lost",
        rerun="waiting",
        waits_until=AT,
    )
    evidence = SignalEvidence(
        log=JobLog(job="tests", step="Run tests", text="FAIL: \x1b[31mtest_sum"), annotations_absent=Absence.FORBIDDEN
    )
    record(samples, Source.FAILED_CI, "main:tests", check, evidence=evidence)
    shown = squire.ok("signals", "show", "failed_ci:main:tests")
    assert "Evidence, log of the job tests, step Run tests:\n  FAIL: test_sum" in shown
    assert "Evidence, annotations:\n  (absent: may not be read)" in shown
    assert "failed of: infrastructure, since its runner was lost" in shown
    assert "second run: waiting, waited for until 2026-03-01 12:00:00" in shown
    document = squire.json("signals", "show", "failed_ci:main:tests")
    assert document["evidence"]["log"]["step"] == "Run tests"


def test_a_request_by_command_is_shown_as_a_persons_own_word(squire: Squire, samples: SampleData) -> None:
    samples.reading()
    # As a ledger has it in which requests were signals.
    details = ManualTask(author="ann", body="Tidy up, please.")
    request = record(samples, Source.REPOSITORY_TASKS, "m1", details, title="Tidy up")
    shown = squire.ok("signals", "show", request.ref)
    assert "yes: a person's own request, given by command" in shown
    assert "Tidy up, please." in shown


def test_a_signal_that_returned_is_shown_with_its_episodes(squire: Squire, samples: SampleData) -> None:
    samples.reading()
    gone = Collection(
        repository=REPOSITORY, source=Source.OPEN_ISSUES, status=CollectionStatus.FRESH, started_at=AT, ended_at=AT
    )
    with samples.ledger.write() as tx:
        collections.record(tx, gone, trace_id=TRACE, run_id=None)
    samples.reading()
    shown = squire.ok("signals", "show", "open_issue:7")
    for line in ("episode 1: opened", "episode 1: gone", "episode 2: reopened"):
        assert line in shown
    events = squire.json("signals", "show", "open_issue:7")["episodes"]
    assert [(event["number"], event["change"]) for event in events] == [(1, "opened"), (1, "gone"), (2, "reopened")]
