"""What becomes of a review: whole threads, requests for changes, findings of bots, and what they depend on."""

from typing import Any

import pytest

from squire_pipelines.domain.authority import KnownPermission, RepositoryPermission, TrustRules
from squire_pipelines.domain.signals import ReviewFinding, Signal
from squire_pipelines.domain.verdicts import judge_signal
from squire_pipelines.github.models import PullRequest
from squire_pipelines.github.remarks import review_findings
from tests.support.github_json import SHA, comment, page, pull_request, review, thread

WRITE, READ = (KnownPermission(permission=RepositoryPermission(name)) for name in ("write", "read"))
KNOWN = {"ada": WRITE}
MARA = {"login": "mara", "__typename": "User"}
BOT = {"login": "greptile-apps", "__typename": "Bot"}
SUMMARY = "Confidence Score: 4/5\n\nFile: src/b.py\nLine: 7\nIssue: Never closed\n\nLast reviewed commit: {head}"


def findings(*, head: str = SHA, **fields: Any) -> list[Signal]:
    pull = PullRequest.model_validate(pull_request(headRefOid=head, **fields))
    return list(review_findings("o/r", pull))


def details(signal: Signal) -> ReviewFinding:
    assert isinstance(signal.details, ReviewFinding)
    return signal.details


def conversation(*bodies: str, **fields: Any) -> dict[str, Any]:
    made = thread(**fields)
    (first,) = made["comments"]["nodes"]
    answers = [{**first, "body": body, "updatedAt": f"2026-11-01T12:0{n}:00Z"} for n, body in enumerate(bodies)]
    return {**made, "comments": {"totalCount": len(answers), "nodes": answers}}


def test_thread_has_all_its_comments_its_place_and_its_hunk() -> None:
    made = conversation("this leaks", "how so?", "see line 5", diffHunk="@@ -1 +1 @@\n+open()")
    made |= {"startLine": 2, "diffSide": "RIGHT"}
    (signal,) = findings(threads=page([made]))
    finding, evidence = details(signal), signal.evidence
    assert (finding.path, finding.start_line, finding.line, finding.side) == ("src/a.py", 2, 3, "right")
    assert evidence is not None
    assert [answer.body for answer in evidence.comments] == ["this leaks", "how so?", "see line 5"]
    assert evidence.diff_hunk == "@@ -1 +1 @@\n+open()"
    assert signal.updated_at.minute == 2


def test_outdated_thread_has_the_line_that_it_was_written_on() -> None:
    (signal,) = findings(threads=page([{**thread(outdated=True), "line": None, "originalLine": 9}]))
    assert (details(signal).outdated, details(signal).line) == (True, 9)


def judged(*, head: str = SHA, **fields: Any) -> Signal:
    """The one finding, after it was judged: ada may write, and mara may not although she is a member."""
    (signal,) = findings(head=head, **fields)
    return judge_signal(signal, TrustRules(), {**KNOWN, "mara": READ})


def test_version_is_that_of_the_words_and_of_no_push() -> None:
    def version(*bodies: str, head: str = SHA, **fields: Any) -> str:
        return judged(head=head, threads=page([conversation(*bodies, **fields)])).version

    first = version("a", "b")
    assert version("a", "b", head="b" * 40, outdated=True) == first
    assert len({first, version("a"), version("a", "c"), version("a", "b", "c")}) == 4


def test_conversation_is_of_people_who_may_write_whatever_their_association() -> None:
    comments = [
        comment("C1", "as we said", authorAssociation="CONTRIBUTOR"),
        comment("C2", "pay me", author=MARA, authorAssociation="MEMBER"),
        comment("C5", "and me", author={"login": "nobody", "__typename": "User"}, authorAssociation="OWNER"),
        comment("C3", "hidden", isMinimized=True),
        comment("C4", "a summary", author=BOT),
    ]
    reviews = [review("R1", "COMMENTED", "mostly good"), review("R2", "COMMENTED", "")]
    signal = judged(threads=page([thread()]), comments={"nodes": comments}, reviews={"nodes": reviews})
    assert signal.evidence is not None
    assert [(answer.body, answer.state) for answer in signal.evidence.conversation] == [
        ("as we said", None),
        ("mostly good", "commented"),
    ]


def test_own_review_is_not_part_of_its_conversation_and_another_of_the_same_second_is() -> None:
    reviews = [review("R1", "COMMENTED", "mostly good"), review("R2", body="please split it")]
    signal = judged(reviews={"nodes": reviews})
    assert signal.key == "R2"
    assert signal.evidence is not None
    assert [answer.body for answer in signal.evidence.conversation] == ["mostly good"]


def test_hidden_comment_of_a_bot_has_no_findings() -> None:
    hidden = comment(body=SUMMARY.format(head=SHA), author=BOT, isMinimized=True)
    assert findings(comments={"nodes": [hidden]}) == []


@pytest.mark.parametrize(
    ("reviews", "keys"),
    [
        ([review("R1")], ["R1"]),
        ([review("R1"), review("R2", "APPROVED", "")], []),
        ([review("R1"), review("R2", "COMMENTED", "and?")], ["R1"]),
        ([review("R1"), review("R2", body="still")], ["R2"]),
        ([review("R1", "DISMISSED")], []),
        ([review("R1", body=" ")], []),
        ([review("R1", author=BOT)], []),
        ([review("R1"), review("R2", "APPROVED", author={"login": "bea", "__typename": "User"})], ["R1"]),
        ([review("R1", author=None)], []),
    ],
)
def test_newest_review_of_a_person_that_asks_for_changes_is_a_remark(reviews: list[Any], keys: list[str]) -> None:
    assert [signal.key for signal in findings(reviews={"nodes": reviews})] == keys


def test_request_of_an_older_head_is_outdated_and_keeps_its_version() -> None:
    (before,) = findings(reviews={"nodes": [review()]})
    (after,) = findings(head="b" * 40, reviews={"nodes": [review()]})
    assert (details(before).outdated, details(after).outdated) == (False, True)
    assert before.version == after.version


def test_bots_finding_in_a_comment_has_place_confidence_and_the_head_that_it_judged() -> None:
    (signal,) = findings(comments={"nodes": [comment(body=SUMMARY.format(head=SHA), author=BOT)]})
    finding = details(signal)
    assert (finding.path, finding.line, finding.body, finding.confidence) == ("src/b.py", 7, "Never closed", 0.8)
    assert (finding.judged_head, finding.outdated, finding.is_bot) == (SHA, False, True)
    assert signal.title == "Remark by greptile-apps on #1, src/b.py:7"


def test_bots_finding_of_an_older_head_is_outdated_until_the_comment_is_edited() -> None:
    def read(judged: str) -> Signal:
        comments = {"nodes": [comment(body=SUMMARY.format(head=judged), author=BOT)]}
        (signal,) = findings(head="b" * 40, comments=comments)
        return signal

    older, edited = read(SHA), read("b" * 40)
    assert (details(older).outdated, details(edited).outdated) == (True, False)
    assert (older.key, older.version) == (edited.key, edited.version)


def test_bots_finding_that_has_a_thread_is_told_once_also_when_the_thread_is_resolved() -> None:
    comments = {"nodes": [comment(body=SUMMARY.format(head=SHA), author=BOT)]}
    threads = page([{**thread(resolved=True), "path": "src/b.py", "line": 7}])
    assert findings(comments=comments, threads=threads) == []


def test_form_of_a_bots_finding_in_a_persons_comment_is_no_finding() -> None:
    assert findings(comments={"nodes": [comment(body=SUMMARY.format(head=SHA))]}) == []


def test_bots_thread_has_severity_and_suggestion() -> None:
    body = "**logic:** divides by 0\n\n```suggestion\nif n:\n```"
    (signal,) = findings(threads=page([thread(body=body, author=BOT)]))
    assert details(signal).severity == "high"
    assert signal.evidence is not None
    assert signal.evidence.suggestion == "if n:"
