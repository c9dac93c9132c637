from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.merging import (
    BotJudgement,
    MergeFacts,
    MergeMethod,
    MergeProgress,
    MergeRules,
    MergeStatus,
    MergeWay,
    OwnMerge,
    decide_merge,
    next_look,
    unmet_conditions,
)
from squire_pipelines.domain.outcomes import ChecksState, ReviewDecision
from squire_pipelines.domain.reading_times import parse_quiet_hours

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
RULES = MergeRules(protected_paths=("deploy/**",))
READY = MergeFacts(
    FollowState.WAITING_FOR_MERGE, "a" * 40, "a" * 40, approvals=1, paths=("src/a.py",), files=1, lines=10
)
NIGHT = replace(RULES, quiet_hours=parse_quiet_hours("22:00-06:00"), zone=ZoneInfo("Asia/Tokyo"))
HEADS = st.sampled_from(("a" * 40, "b" * 40))
FACTS = st.builds(
    MergeFacts,
    stands=st.sampled_from((FollowState.WAITING_FOR_MERGE, FollowState.WAITING_FOR_MERGE, *FollowState)),
    head_sha=HEADS,
    known_head=HEADS,
    draft=st.booleans(),
    checks=st.sampled_from((ChecksState.PASSED, *ChecksState)),
    status=st.sampled_from((MergeStatus.CLEAN, *MergeStatus)),
    review=st.sampled_from(ReviewDecision),
    approvals=st.integers(0, 2),
    objectors=st.sampled_from(((), (), ("mira",))),
    open_threads=st.integers(0, 1),
    judgements=st.lists(st.builds(BotJudgement, st.just("bot"), st.sampled_from((0.2, 0.9))), max_size=2).map(tuple),
    paths=st.none() | st.lists(st.sampled_from(("src/a.py", "deploy/x", "other/b"))).map(tuple),
    files=st.integers(0, 30),
    lines=st.integers(0, 700),
    methods=st.frozensets(st.sampled_from(MergeMethod)),
    has_queue=st.booleans(),
    may_auto_merge=st.booleans(),
    may_write=st.none() | st.booleans(),
    is_armed=st.booleans(),
    unarmed_by=st.none() | st.just("mira: no"),
)
RULE_SETS = st.builds(
    MergeRules,
    enabled=st.booleans(),
    method=st.none() | st.sampled_from(MergeMethod),
    approvals=st.integers(0, 2),
    min_confidence=st.none() | st.just(0.8),
    allowed_paths=st.sampled_from(((), ("src/**",))),
    forbidden_paths=st.sampled_from(((), ("other/**",))),
    protected_paths=st.just(("deploy/**",)),
    narrower_paths=st.sampled_from(((), (("src/**",), ("**/a.py",)))),
    quiet_hours=st.none() | st.sampled_from(("11:00-13:00", "22:00-06:00")).map(parse_quiet_hours),
    more_quiet_hours=st.sampled_from(((), ((parse_quiet_hours("11:30-12:30"), ZoneInfo("UTC")),))),
)
OWN = st.builds(
    OwnMerge,
    progress=st.sampled_from(MergeProgress),
    head_sha=st.none() | HEADS,
    way=st.none() | st.sampled_from(MergeWay),
    asked_at=st.none() | st.integers(0, 900).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    reason=st.just("it ended"),
)


@given(FACTS, RULE_SETS, OWN)
def test_nothing_is_merged_without_every_condition(facts: MergeFacts, rules: MergeRules, own: OwnMerge) -> None:
    decision = decide_merge(facts, rules, own, NOW)
    assert decision.reason
    if decision.progress is not MergeProgress.REQUESTED:
        return
    assert rules.enabled
    assert (facts.stands, facts.head_sha) == (FollowState.WAITING_FOR_MERGE, facts.known_head)
    assert (facts.draft, facts.checks, facts.open_threads) == (False, ChecksState.PASSED, 0)
    assert facts.review in {ReviewDecision.NONE, ReviewDecision.APPROVED}
    assert facts.approvals >= rules.approvals
    assert not facts.objectors
    if rules.min_confidence is not None:
        assert facts.judgements
        assert all(judged.confidence >= rules.min_confidence for judged in facts.judgements)
    assert facts.files <= rules.max_files
    assert facts.lines <= rules.max_lines
    assert facts.paths is not None
    assert "deploy/x" not in facts.paths
    assert not rules.forbidden_paths or "other/b" not in facts.paths
    assert not rules.allowed_paths or all(path.startswith("src/") for path in facts.paths)
    assert all(matches(path, globs) for path in facts.paths for globs in rules.narrower_paths)
    assert rules.quiet_hours is None or not rules.quiet_hours.contain(NOW, UTC)
    assert not any(span.contain(NOW, zone) for span, zone in rules.more_quiet_hours)
    assert facts.may_write is not False
    assert decision.method in facts.methods
    assert rules.method in {None, decision.method}
    # Never around a protection, and never against a person's word.
    if decision.way is MergeWay.AUTO:
        assert facts.status is MergeStatus.BLOCKED
        assert facts.may_auto_merge
    else:
        assert facts.status in {MergeStatus.CLEAN, MergeStatus.HAS_HOOKS}
        assert facts.has_queue is (decision.way is MergeWay.QUEUE)
    assert own.progress is not MergeProgress.TAKEN_BACK
    assert not facts.is_armed


@given(FACTS, RULE_SETS, OWN)
def test_what_github_was_asked_to_merge_is_taken_back_when_a_condition_fails(
    facts: MergeFacts, rules: MergeRules, own: OwnMerge
) -> None:
    armed = replace(own, progress=MergeProgress.ARMED, head_sha="a" * 40, way=MergeWay.AUTO)
    facts = replace(facts, is_armed=True)
    decision = decide_merge(facts, rules, armed, NOW)
    holds = facts.head_sha == "a" * 40 and not unmet_conditions(facts, rules, NOW)
    assert decision.takes_back is not holds
    assert decision.way is MergeWay.AUTO
    foreign = decide_merge(facts, rules, replace(own, progress=MergeProgress.WAITING), NOW)
    assert not foreign.takes_back, "what somebody else asked for is theirs"


@pytest.mark.parametrize(
    ("facts", "rules", "reason"),
    [
        (replace(READY, checks=ChecksState.PENDING), RULES, "waits for its checks to pass"),
        (replace(READY, checks=ChecksState.NONE), RULES, "waits for a check that passes, and its head has none"),
        (replace(READY, approvals=0), RULES, "waits for an approving review of its head by people who may approve"),
        (replace(READY, objectors=("mira",)), RULES, "waits for the changes that mira asked for"),
        (
            replace(READY, review=ReviewDecision.REVIEW_REQUIRED),
            RULES,
            "waits for the approving review that its base branch wants",
        ),
        (replace(READY, open_threads=2), RULES, "waits for the end of 2 threads"),
        (READY, replace(RULES, min_confidence=0.8), "waits for a review bot's confidence in its head"),
        (
            replace(READY, judgements=(BotJudgement("greptile-apps", 0.6),)),
            replace(RULES, min_confidence=0.8),
            "waits for a confidence of 0.8 (greptile-apps has 0.6)",
        ),
        (replace(READY, files=21), RULES, "waits for a person: it changes 21 files, more than 20"),
        (replace(READY, paths=("deploy/x",)), RULES, "waits for a person: deploy/x is protected by deploy/**"),
        (
            replace(READY, paths=(".github/workflows/ci.yml",)),
            RULES,
            "waits for a person: .github/workflows/ci.yml is protected by .github/workflows",
        ),
        (replace(READY, paths=None), RULES, "waits for a person: not all of its paths are known"),
        (READY, replace(RULES, allowed_paths=("docs/**",)), "waits for a person: src/a.py is not among the allowed"),
        (replace(READY, status=MergeStatus.BLOCKED), RULES, "waits for what its base branch's protection asks for"),
        (replace(READY, status=MergeStatus.BEHIND), RULES, "waits for the newest commits of its base"),
        (replace(READY, may_write=False), RULES, "waits for a token that may merge here"),
        (
            replace(READY, methods=frozenset({MergeMethod.SQUASH})),
            replace(RULES, method=MergeMethod.REBASE),
            "waits for a merge method that the repository allows (squash)",
        ),
        (READY, replace(RULES, enabled=False), "waits for a person, as the settings have it"),
        (replace(READY, is_armed=True), RULES, "waits for the merge that somebody else asked GitHub for"),
        (
            replace(READY, draft=True, checks=ChecksState.FAILED, open_threads=1, files=21),
            RULES,
            "waits for its end as a draft, its checks to pass, the end of an open thread and 1 more",
        ),
    ],
)
def test_people_see_what_a_merge_waits_for(facts: MergeFacts, rules: MergeRules, reason: str) -> None:
    decision = decide_merge(facts, rules, OwnMerge(), NOW)
    assert decision.progress is MergeProgress.WAITING
    assert decision.reason.startswith(reason)


def test_quiet_hours_are_those_of_their_time_zone() -> None:
    tokyo_morning, tokyo_night = NOW.replace(hour=21), NOW.replace(hour=13)
    assert decide_merge(READY, NIGHT, OwnMerge(), tokyo_morning).progress is MergeProgress.REQUESTED
    assert decide_merge(READY, NIGHT, OwnMerge(), tokyo_night).reason == "waits for the end of the quiet hours at 06:00"


def test_a_merge_is_looked_at_again_as_quiet_hours_begin() -> None:
    half_an_hour = timedelta(minutes=30)
    evening = datetime(2026, 11, 1, 12, 50, tzinfo=UTC)  # 21:50 in Tokyo
    assert next_look(NIGHT, evening, half_an_hour) == datetime(2026, 11, 1, 13, 0, tzinfo=UTC)
    assert next_look(NIGHT, evening - half_an_hour, half_an_hour) == evening
    assert next_look(RULES, evening, half_an_hour) == evening + half_an_hour
    armed = replace(READY, is_armed=True)
    own = OwnMerge(MergeProgress.ARMED, READY.head_sha, MergeWay.AUTO)
    assert decide_merge(armed, NIGHT, own, next_look(NIGHT, evening, half_an_hour)).takes_back


def test_githubs_own_ways_are_taken_where_there_are_any() -> None:
    assert decide_merge(READY, RULES, OwnMerge(), NOW).way is MergeWay.DIRECT
    assert decide_merge(replace(READY, has_queue=True), RULES, OwnMerge(), NOW).way is MergeWay.QUEUE
    blocked = replace(READY, status=MergeStatus.BLOCKED, may_auto_merge=True)
    assert decide_merge(blocked, RULES, OwnMerge(), NOW).way is MergeWay.AUTO
    allowed = replace(READY, methods=frozenset({MergeMethod.REBASE, MergeMethod.MERGE}))
    assert decide_merge(allowed, RULES, OwnMerge(), NOW).method is MergeMethod.MERGE


def test_a_request_without_an_answer_is_sent_again_after_a_while() -> None:
    asked = OwnMerge(MergeProgress.REQUESTED, READY.head_sha, MergeWay.DIRECT, NOW - timedelta(minutes=4))
    assert decide_merge(READY, RULES, asked, NOW).reason == "waits for GitHub's word on the merge that was asked for"
    assert decide_merge(READY, RULES, asked, NOW + timedelta(minutes=2)).progress is MergeProgress.REQUESTED


def test_a_person_who_switches_auto_merge_off_and_a_queue_that_drops_it_end_it() -> None:
    armed = OwnMerge(MergeProgress.ARMED, READY.head_sha, MergeWay.AUTO, NOW)
    by_person = decide_merge(replace(READY, unarmed_by="mira: wait"), RULES, armed, NOW)
    assert by_person.progress is MergeProgress.TAKEN_BACK
    assert by_person.reason == "its auto-merge was switched off: mira: wait"
    taken_back = replace(armed, progress=by_person.progress, reason=by_person.reason)
    other_head = replace(READY, head_sha="b" * 40, known_head="b" * 40)
    assert decide_merge(other_head, RULES, taken_back, NOW).progress is MergeProgress.TAKEN_BACK
    dropped = decide_merge(READY, RULES, replace(armed, way=MergeWay.QUEUE), NOW)
    assert dropped.progress is MergeProgress.REFUSED
    assert dropped.reason == "the merge queue dropped it: GitHub does not say why"
    refused = replace(armed, progress=dropped.progress, reason=dropped.reason)
    assert decide_merge(READY, RULES, refused, NOW) == decide_merge(READY, RULES, refused, NOW)
    assert decide_merge(READY, RULES, refused, NOW).progress is MergeProgress.REFUSED
    assert decide_merge(other_head, RULES, refused, NOW).progress is MergeProgress.REQUESTED, "a new head is new"
