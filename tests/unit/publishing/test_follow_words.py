import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.publishing.follow_words import RemarkVerdict, WorkDone, answers, left_to_people, parse_verdicts

SHA = "a" * 40
PUSHED = WorkDone("t1", "t1-1", SHA, None, "")


@pytest.mark.parametrize(
    ("line", "number", "verdict"),
    [
        ("Remark 1: done", 1, RemarkVerdict(done=True)),
        ("remark 2: declined: the name is the API's", 2, RemarkVerdict(done=False, reason="the name is the API's")),
        ("- **Remark 3:** Done — renamed it", 3, RemarkVerdict(done=True, reason="renamed it")),
        ("> Remark #4 - DECLINED. It is right as it is.", 4, RemarkVerdict(done=False, reason="It is right as it is.")),
    ],
)
def test_verdicts_are_read_as_agents_write_them(line: str, number: int, verdict: RemarkVerdict) -> None:
    assert parse_verdicts(f"I looked at all.\n\n{line}\n") == {number: verdict}


@pytest.mark.parametrize("line", ["Remark 1 is done", "The remark 1: done", "Remark one: done", "Remark 1: doner", ""])
def test_other_lines_are_no_verdicts(line: str) -> None:
    assert parse_verdicts(line) == {}


def test_each_remark_is_answered_by_its_number() -> None:
    words = "Remark 1: done: renamed\nRemark 2: declined: it is right, @ann\nRemark 9: done"
    done, declined, silent = answers(WorkDone("t1", "t1-1", SHA, None, words), 3)
    assert (done.text, done.settled) == (f"Done in {SHA}: renamed (task `t1`)", True)
    assert (declined.text, declined.settled) == ("Not changed: it is right, @\u200bann (task `t1`)", False)
    assert silent.text == f"Looked at in {SHA}; the agent does not say what it did about this remark. (task `t1`)"
    assert not silent.settled


def test_what_was_not_pushed_is_not_done() -> None:
    (answer,) = answers(WorkDone("t1", "t1-1", None, None, "Remark 1: done"), 1)
    assert not answer.settled
    assert answer.text.startswith("Nothing was changed")
    (failed,) = answers(WorkDone("t1", "t1-1", None, "timeout", "Remark 1: done"), 1)
    assert failed.text == "Squire has not managed this: timeout (task `t1`)"


def test_people_are_told_why_and_what_was_tried() -> None:
    tried = [PUSHED, WorkDone("t2", None, None, "timeout", ""), WorkDone("t3", None, None, None, "")]
    text = left_to_people("its checks fail after 3 tries to mend them", tried)
    assert text == (
        "Squire leaves this pull request to people: its checks fail after 3 tries to mend them.\n\nWhat it tried:\n\n"
        f"- task `t1` pushed {SHA}\n- task `t2` failed: timeout\n- task `t3` ended without a change\n\n"
        "To have it go on from the present head, somebody who may write comments `/squire retry`."
    )


@given(st.text(max_size=500), st.integers(1, 5))
def test_whatever_an_agent_says_each_remark_gets_one_answer_that_works_nothing(words: str, count: int) -> None:
    replies = answers(WorkDone("t1", "t1-1", SHA, None, words), count)
    assert len(replies) == count
    assert not any(
        "@" in one.text.replace("@\u200b", "") for one in replies if "@ " not in one.text and not one.text.endswith("@")
    )
