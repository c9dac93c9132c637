"""What people decide about signals by command: for which text it holds, and that no reading loses it."""

from datetime import timedelta

import pytest

from squire_pipelines.domain.authority import (
    ActorKind,
    Author,
    Provenance,
    RepositoryPermission,
    StartVerdict,
    TextChange,
    TrustRules,
)
from squire_pipelines.domain.signals import OpenIssue, Signal, Source, UnapprovedText
from squire_pipelines.errors import NotFoundError, RefusedError
from squire_pipelines.ledger import collections, decisions
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.retention import Retention, delete_rows, due_keys
from squire_pipelines.ledger.store import Ledger, Transaction
from tests.support.ledgers import REPOSITORY, START, TRACE, Clock, collect, issue, reading
from tests.support.signal_samples import failed_check, open_pr

RULES = TrustRules(issue_labels=("squire",))
HELD = StartVerdict(may_start=False, reason="@sly may not write here (permission read)")
STRANGER = Author(login="sly", kind=ActorKind.PERSON, permission=RepositoryPermission.READ)
MAINTAINER = Author(login="mara", kind=ActorKind.PERSON, permission=RepositoryPermission.WRITE)


def strangers_issue(body: str = "please", *changes: TextChange) -> Signal:
    """A stranger's issue, which is held."""
    provenance = Provenance(written_at=START, changes=changes)
    details = OpenIssue(number=1, author="sly", body=body)
    fields = {"details": details, "author": STRANGER, "provenance": provenance, "verdict": HELD}
    return issue(1, version=body).model_copy(update=fields)


def read(ledger: Ledger, signal: Signal) -> None:
    """Record a reading that has this issue, as a collection does."""
    with ledger.write() as tx:
        collections.record_all(
            tx, decisions.with_decisions(tx, [reading(signal)], lambda _: RULES), trace_id=TRACE, run_id=None
        )


def decide(ledger: Ledger, *, release: bool = True) -> Signal:
    with ledger.write() as tx:
        stored = decisions.find(tx, "open_issue:1")
        return decisions.decide(tx, stored, release=release, actor="cli:mara", reason="read it", trace_id=TRACE)


def may_start(ledger: Ledger) -> bool:
    with ledger.read() as tx:
        (signal,) = collections.active_signals(tx, REPOSITORY)
    assert signal.verdict is not None
    return signal.verdict.may_start


def edited(minutes: int, by: Author) -> TextChange:
    return TextChange(by=by, at=START + timedelta(minutes=minutes))


def test_a_release_holds_for_the_text_that_it_was_made_of(ledger: Ledger) -> None:
    read(ledger, strangers_issue())
    assert not may_start(ledger)
    decide(ledger)
    assert may_start(ledger)
    read(ledger, strangers_issue())
    assert may_start(ledger), "a reading that knows nothing of it loses nothing"
    read(ledger, strangers_issue("steal", edited(5, STRANGER)))
    assert not may_start(ledger)
    read(ledger, strangers_issue())
    assert may_start(ledger), "the text that was released"


def test_a_release_goes_on_with_a_text_that_only_permitted_people_changed(ledger: Ledger) -> None:
    read(ledger, strangers_issue())
    decide(ledger)
    read(ledger, strangers_issue("please, now", edited(5, MAINTAINER)))
    assert may_start(ledger)
    read(ledger, strangers_issue("steal, now", edited(4, STRANGER), edited(5, MAINTAINER)))
    assert not may_start(ledger)


def test_hold_is_the_opposite_and_the_newest_counts(ledger: Ledger) -> None:
    read(ledger, issue(1))
    assert may_start(ledger)
    decide(ledger, release=False)
    read(ledger, issue(1))
    assert not may_start(ledger)
    decide(ledger, release=True)
    assert may_start(ledger)


def test_a_hold_lasts_through_every_change_of_the_text(ledger: Ledger) -> None:
    read(ledger, issue(1))
    decide(ledger, release=False)
    own = Provenance(written_at=START, changes=(edited(5, MAINTAINER),))
    bots = Provenance(written_at=START, changes=(edited(5, Author(login="greptile-apps", kind=ActorKind.BOT)),))
    for number, provenance in enumerate((own, bots)):
        changed = {"provenance": provenance, "title": f"Words {number}"}
        read(ledger, issue(1, version=f"v{number + 2}").model_copy(update=changed))
        assert not may_start(ledger)
    decide(ledger, release=True)
    assert may_start(ledger)


def check_of(key: str, head: str, *, waits: bool = False) -> Signal:
    on_branch = not key.startswith("#")
    signal = failed_check("CI / test", pull_request=None if on_branch else 7, head_sha=head * 40)
    update = {"repository": REPOSITORY, "key": key, "version": head * 40 + (":waits" if waits else "")}
    return signal.model_copy(update=update)


def test_a_hold_of_a_check_lasts_while_it_waits_passes_and_fails_on_other_commits(ledger: Ledger) -> None:
    def collected(*signals: Signal) -> list[bool]:
        read_of = reading(*signals, source=Source.FAILED_CI)
        with ledger.write() as tx:
            collections.record_all(
                tx, decisions.with_decisions(tx, [read_of], lambda _: RULES), trace_id=TRACE, run_id=None
            )
            present = collections.active_signals(tx, REPOSITORY)
        return [bool(signal.verdict and signal.verdict.may_start) for signal in present]

    assert collected(check_of("main:CI / test", "a", waits=True)) == [True]
    with ledger.write() as tx:
        stored = decisions.find(tx, "failed_ci:main:CI / test")
        decisions.decide(tx, stored, release=False, actor="cli:mara", reason="", trace_id=TRACE)
    assert collected(check_of("main:CI / test", "a")) == [False]
    assert collected() == []
    assert collected(check_of("main:CI / test", "b")) == [False]


def test_what_was_decided_of_a_branchs_check_outlives_its_signal(ledger: Ledger, clock: Clock) -> None:
    keys = ("main:CI / test", "main:CI / lint", "#7:CI / test")
    collect(ledger, *(check_of(key, "a") for key in keys), source=Source.FAILED_CI)
    with ledger.write() as tx:
        for key in ("main:CI / test", "#7:CI / test"):
            stored = decisions.find(tx, f"failed_ci:{key}")
            decisions.decide(tx, stored, release=False, actor="cli:mara", reason="", trace_id=TRACE)
    collect(ledger, source=Source.FAILED_CI)
    clock.forward(31 * 86400)
    retention = Retention({"signals": timedelta(days=30)})
    with ledger.write() as tx:
        assert delete_rows(tx, retention, "signals", due_keys(tx, retention, "signals", limit=100)) == 2
        assert decisions.find(tx, "failed_ci:main:CI / test").decision is not None


def test_a_release_is_of_the_present_text_and_not_of_the_one_that_was_approved(ledger: Ledger) -> None:
    changed = strangers_issue("as approved")
    details = changed.details.model_copy(update={"unapproved": UnapprovedText(title="New", body="as it is now")})
    read(ledger, changed.model_copy(update={"details": details}))
    released = decide(ledger)
    assert isinstance(released.details, OpenIssue)
    assert (released.title, released.details.body, released.details.unapproved) == ("New", "as it is now", None)
    read(ledger, changed.model_copy(update={"details": details}))
    with ledger.read() as tx:
        (signal,) = collections.active_signals(tx, REPOSITORY)
    assert signal == released


def test_every_decision_is_audited_with_who_and_which_text(ledger: Ledger) -> None:
    read(ledger, strangers_issue())
    released = decide(ledger)
    decide(ledger, release=False)
    with ledger.read() as tx:
        hold, entry = audit_page(tx)
    assert (hold.action, entry.action) == ("signal.held", "signal.released")
    assert (entry.actor, entry.subject, entry.trace_id) == ("cli:mara", f"{REPOSITORY} open_issue:1", TRACE)
    assert entry.detail["text_version"] == released.text_version
    assert entry.detail["author"] == "sly"


def test_a_signal_is_found_by_id_and_by_ref_and_only_when_it_is_one(ledger: Ledger) -> None:
    read(ledger, issue(1))
    read(ledger, issue(1, repository="acme/other").model_copy(update={"repository": REPOSITORY, "key": "2"}))

    def ref_of(tx: Transaction, name: str, repository: str | None = None) -> str:
        return decisions.find(tx, name, repository=repository).signal.ref

    with ledger.write() as tx:
        collections.record(
            tx, reading(issue(1, repository="acme/two"), repository="acme/two"), trace_id=TRACE, run_id=None
        )
        stored = decisions.find(tx, "open_issue:1", repository="ACME/Two")
        assert decisions.find(tx, str(stored.id)).signal == stored.signal
        with pytest.raises(NotFoundError, match="more than one repository"):
            ref_of(tx, "open_issue:1")
        for name in ("open_issue:9", "nothing", "999999", "9" * 40):
            with pytest.raises(NotFoundError, match="there is no signal"):
                ref_of(tx, name)


def test_the_name_as_it_is_written_comes_before_another_spelling_of_it(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for name in ("Acme/API", "acme/api", "ACME/API"):
            collections.record(tx, reading(issue(1, repository=name), repository=name), trace_id=TRACE, run_id=None)
        for name in ("Acme/API", "acme/api"):
            assert decisions.find(tx, "open_issue:1", repository=name).signal.repository == name
        with pytest.raises(NotFoundError, match="more than one repository"):
            decisions.find(tx, "open_issue:1", repository="acme/API")


def test_an_open_pull_request_starts_no_work_and_cannot_be_released(ledger: Ledger) -> None:
    with ledger.write() as tx:
        shown = open_pr(5).model_copy(update={"repository": REPOSITORY})
        collections.record(tx, reading(shown, source=Source.OPEN_PRS), trace_id=TRACE, run_id=None)
        stored = decisions.find(tx, shown.ref)
        with pytest.raises(RefusedError, match="it is background") as caught:
            decisions.decide(tx, stored, release=True, actor="cli:mara", reason="", trace_id=TRACE)
    assert "signals of their own" in caught.value.hint


@pytest.mark.parametrize(("event", "lasts"), [("push", True), (None, True), ("issue_comment", False), ("", False)])
def test_a_release_of_a_check_that_a_passer_by_can_start_again_is_of_one_commit(
    ledger: Ledger, event: str | None, *, lasts: bool
) -> None:
    def starts(head: str) -> bool:
        check = check_of("main:CI / test", head)
        details = check.details.model_copy(update={"event": event, "head_sha": head * 40})
        waiting = check.model_copy(update={"details": details, "verdict": HELD})
        with ledger.write() as tx:
            read_of = reading(waiting, source=Source.FAILED_CI)
            (judged,) = decisions.with_decisions(tx, [read_of], lambda _: RULES)
            collections.record_all(tx, [judged], trace_id=TRACE, run_id=None)
        return bool(judged.signals[0].verdict and judged.signals[0].verdict.may_start)

    assert not starts("a")
    with ledger.write() as tx:
        stored = decisions.find(tx, "failed_ci:main:CI / test")
        decisions.decide(tx, stored, release=True, actor="cli:mara", reason="", trace_id=TRACE)
    assert starts("a")
    assert starts("b") is lasts


def test_what_is_gone_cannot_be_released(ledger: Ledger) -> None:
    read(ledger, strangers_issue())
    with ledger.write() as tx:
        collections.record(tx, reading(), trace_id=TRACE, run_id=None)
    with pytest.raises(RefusedError, match="is gone"):
        decide(ledger)
