"""What a plan was made from is recorded bounded and without secrets, and gives the same question again."""

from squire_pipelines.domain.evidence import JobLog, SignalEvidence
from squire_pipelines.domain.group_members import GroupMember
from squire_pipelines.domain.repository_facts import InstructionFile, RepositoryContext
from squire_pipelines.domain.signals import Signal
from squire_pipelines.planning.input_recording import MAX_CHARS, inputs_again, record_inputs, with_facts
from squire_pipelines.planning.plan_context import SAMPLE_CONTEXT, PlanContext
from squire_pipelines.planning.prompt import describe
from squire_pipelines.planning.prompt_files import packaged_prompts
from squire_pipelines.planning.selection import PlanInputs, select
from tests.support.signal_samples import failed_check, finding, issue, open_pr

TOKEN = "ghp_" + "A1b2" * 9


def inputs(*signals: Signal) -> PlanInputs:
    return PlanInputs("o/r", signals, "main", ("squire",), ("open_issue:4",), max_tasks=5)


def test_what_was_recorded_gives_the_same_question_again() -> None:
    facts = inputs(issue(1), issue(2, labels=()), issue(4), failed_check(), finding(), open_pr(3))
    recorded = record_inputs(facts, select(facts))
    assert recorded.is_whole
    assert {signal.ref for signal in recorded.signals} == {
        "open_issue:1",
        failed_check().ref,
        finding().ref,
        "open_pr:3",
    }
    again, prompts = inputs_again(type(recorded).model_validate_json(recorded.model_dump_json())), packaged_prompts()
    assert describe(again, select(again), prompts, goals="") == describe(facts, select(facts), prompts, goals="")


def test_no_secret_is_recorded() -> None:
    facts = inputs(issue(1, body=f'the key is "{TOKEN}"\nand more'))
    recorded = with_facts(
        record_inputs(facts, select(facts)), f"use {TOKEN}", [RepositoryContext(repository="o/r", why_no_code=TOKEN)]
    )
    assert recorded is not None
    assert TOKEN not in recorded.model_dump_json()
    assert "and more" in recorded.model_dump_json()


def test_evidence_is_left_out_before_signals_are_and_that_is_said() -> None:
    # Longer than what is read of a log, so that one signal's evidence has no room.
    long = SignalEvidence(log=JobLog(job="test").model_copy(update={"text": "x" * MAX_CHARS}))
    facts = inputs(issue(1).model_copy(update={"evidence": long}), issue(2))
    recorded = record_inputs(facts, select(facts))
    assert [signal.ref for signal in recorded.signals] == ["open_issue:1", "open_issue:2"]
    assert recorded.signals[0].evidence is None
    assert not recorded.is_whole
    many = inputs(*(issue(number, body="y" * 10_000) for number in range(10, 100)))
    recorded = record_inputs(many, select(many))
    assert 0 < len(recorded.signals) < 90
    assert len(recorded.model_dump_json()) < MAX_CHARS + 1_000
    assert not recorded.is_whole


def test_a_groups_inputs_give_the_same_question_again_with_each_repositorys_background() -> None:
    pulls = tuple(open_pr(number) for number in range(1, 40))
    members = (
        GroupMember(repository="o/api", default_branch="main", signals=(*pulls, issue(1, body=TOKEN))),
        GroupMember(repository="o/web", default_branch="trunk", protected_paths=("deploy",)),
    )
    facts = PlanInputs("group:g", (), "main", (), (), max_tasks=5, members=members)
    contexts = [RepositoryContext(repository=member.repository, why_no_code="no net") for member in members]
    recorded = with_facts(record_inputs(facts, select(facts)), "Go.", contexts)
    assert recorded is not None
    assert recorded.is_whole
    assert TOKEN not in recorded.model_dump_json(), "issues are planned for their own repository"
    assert recorded.members[1] == members[1]
    again, prompts = inputs_again(type(recorded).model_validate_json(recorded.model_dump_json())), packaged_prompts()
    context = PlanContext(recorded.contexts)
    question = describe(facts, select(facts), prompts, goals="Go.", context=context)
    assert describe(again, select(again), prompts, goals="Go.", context=context) == question
    long = GroupMember(
        repository="o/api", default_branch="main", signals=(open_pr(1).model_copy(update={"title": "y" * MAX_CHARS}),)
    )
    cut = PlanInputs("group:g", (), "main", (), (), max_tasks=5, members=(long,))
    assert not record_inputs(cut, select(cut)).is_whole


def test_what_is_known_of_many_repositories_is_recorded_shorter_and_that_is_said() -> None:
    known = SAMPLE_CONTEXT.code
    assert known is not None
    # Words, since the redactor may know a run of one letter as an earlier test's secret.
    files = tuple(InstructionFile(path=f"{number}.md", text="Test it. " * 1_300) for number in range(4))
    long = known.model_copy(update={"instructions": files, "folders": ("part/" * 80,) * 150})
    one = SAMPLE_CONTEXT.model_copy(update={"code": long})
    recorded = record_inputs(inputs(issue(1)), select(inputs(issue(1))))
    alone, many = with_facts(recorded, "", [one]), with_facts(recorded, "", [one] * 20)
    assert alone is not None
    assert many is not None
    assert (alone.is_whole, many.is_whole) == (True, False)
    assert alone.contexts == (one,)
    assert len(many.model_dump_json()) < MAX_CHARS
    assert all(code is not None and code.folders and code.instructions for code in (one.code for one in many.contexts))
