"""A repository's own file asks for less than the operator permits, and never gets more."""

import subprocess
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from squire_pipelines.domain.authority import RepositoryPermission
from squire_pipelines.domain.budgets import Purpose, Scope
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.merging import MergeFacts, unmet_conditions
from squire_pipelines.domain.reading_times import parse_quiet_hours
from squire_pipelines.domain.tasks import Risk
from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.repository_files.tightening import combined, effects_missing, tightened
from squire_pipelines.settings.keys import leaf_paths
from squire_pipelines.settings.model import Settings

REPOSITORY = "o/r"
_NAMES = st.lists(st.sampled_from(["a", "B", "c d", "x/y", "squire"]), max_size=4, unique=True)
_USD = st.none() | st.sampled_from([0.5, 1.0, 5.0, 40.0])
_LIMIT = st.fixed_dictionaries({}, optional={"usd": _USD.filter(bool), "tokens": st.sampled_from([10, 1000, 10**6])})
_SIZE = st.sampled_from([1, 10, 100, 10**7])
_PERMISSIONS = st.sampled_from(["triage", "write", "maintain", "admin"])
_COMMAND = st.sampled_from(["true", "make x # a comment", "exit 3", 'echo "it\'s"', "x" * 900])


_GLOBS = st.lists(st.sampled_from(["src/**", "src/pay/**", "docs/**", "*.md"]), max_size=3, unique=True)
_QUIET = st.sampled_from(["18:00-08:00", "01:00-02:00", "12:00-13:30"])
_ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"])


def _table(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


FILES = _table(
    issue_labels=_NAMES,
    ci=_table(ignore=_NAMES),
    filters=_table(ignore_labels=_NAMES, ignore_authors=_NAMES, drafts=st.sampled_from([False])),
    trust=_table(min_permission=_PERMISSIONS),
    planner=_table(
        approve=st.just("manual"),
        min_confidence=st.floats(0, 1),
        max_risk=st.sampled_from(list(Risk)),
        max_tasks=st.integers(1, 200),
        max_task_files=st.integers(1, 100),
        max_task_lines=st.integers(1, 1000),
    ),
    dispatch=_table(
        max_per_repository=st.integers(1, 100),
        max_attempts=st.integers(1, 10),
        max_open_pull_requests=st.integers(1, 30),
        max_new_pull_requests_per_hour=st.integers(1, 30),
        dependencies=st.just("merge"),
    ),
    budgets=_table(**dict.fromkeys(("attempt", "plan", "task", "repository"), _LIMIT)),
    policy=_table(
        protected_paths=_NAMES,
        protected=st.just("reject"),
        workflows=st.just("reject"),
        **dict.fromkeys(("max_files", "max_changed_lines", "max_bytes", "max_file_bytes", "max_binary_bytes"), _SIZE),
    ),
    verification=_table(setup=_COMMAND, tests=_COMMAND, lint=_COMMAND, build=_COMMAND, timeout_s=st.floats(1, 9999)),
    follow=_table(
        merge=_table(
            enabled=st.sampled_from([False]),
            approvals=st.integers(0, 10),
            min_confidence=st.floats(0, 1),
            max_files=st.integers(1, 250),
            max_lines=st.integers(1, 1000),
            allowed_paths=_GLOBS,
            forbidden_paths=_GLOBS,
            quiet_hours=_QUIET,
            timezone=_ZONES,
        )
    ),
    publishing=_table(
        draft=st.sampled_from(["always", "untrusted"]),
        labels=_NAMES,
        title_convention=st.sampled_from(["plain", "conventional"]),
        title_template=st.just("{kind}: {title}"),
    ),
).map(RepositoryFileSettings.model_validate)


@st.composite
def operators(draw: st.DrawFn) -> Settings:
    """Draw the settings of an operator, some of them in the repository's own table."""
    sections = {
        "ci": draw(_table(ignore=_NAMES)),
        "filters": draw(_table(ignore_labels=_NAMES, ignore_authors=_NAMES, drafts=st.booleans())),
        "trust": draw(_table(min_permission=_PERMISSIONS)),
        "policy": draw(
            _table(
                protected_paths=_NAMES,
                protected=st.sampled_from(["reject", "approve"]),
                workflows=st.sampled_from(["reject", "approve"]),
                max_files=_SIZE,
                max_bytes=_SIZE,
            )
        ),
        "follow": draw(
            _table(
                merge=_table(
                    enabled=st.booleans(),
                    method=st.just("rebase"),
                    approvals=st.integers(0, 3),
                    min_confidence=st.floats(0, 1),
                    max_files=st.integers(1, 30),
                    allowed_paths=_GLOBS,
                    forbidden_paths=_GLOBS,
                    narrower_paths=st.lists(_GLOBS.filter(bool), max_size=2),
                    quiet_hours=_QUIET,
                    timezone=_ZONES,
                    more_quiet_hours=st.lists(st.just("09:00-09:30 Asia/Tokyo"), max_size=1),
                ),
                max_fixes=st.integers(0, 5),
            )
        ),
        "verification": draw(
            _table(enabled=st.booleans(), tests=_COMMAND, setup=_COMMAND, timeout_s=st.floats(1, 9999))
        ),
    }
    own: dict[str, Any] = {}
    general: dict[str, Any] = {}
    for name, values in sections.items():
        (own if draw(st.booleans()) else general)[name] = values
    limits = draw(_table(attempt=_LIMIT, task=_LIMIT, repository=_LIMIT, month=_LIMIT))
    planner = _table(
        max_tasks=st.integers(1, 200), max_task_files=st.integers(1, 100), max_task_lines=st.integers(1, 1000)
    )
    settings = {
        "repositories": [REPOSITORY],
        "repository": {REPOSITORY: own},
        "planner": {"issue_labels": draw(_NAMES), **draw(planner)},
        "dispatch": draw(
            _table(
                max_open_pull_requests=st.integers(1, 30),
                max_new_pull_requests_per_hour=st.integers(1, 30),
                dependencies=st.sampled_from(["success", "merge"]),
            )
        ),
        "publishing": draw(
            _table(
                draft=st.sampled_from(["always", "untrusted", "never"]),
                labels=_NAMES,
                title_convention=st.just("plain"),
            )
        ),
        **general,
    }
    try:
        return Settings(**settings, budgets=limits)
    except ValueError:  # limits that no attempt fits are refused
        return Settings(**settings)


@examples(max_examples=50, deadline=None)
@given(operators(), FILES)
def test_no_file_gets_more_than_the_operator_permits(operator: Settings, file: RepositoryFileSettings) -> None:
    effective = tightened(operator, REPOSITORY, file)

    def before_and_after(method: str) -> tuple[Any, Any]:
        return getattr(operator, method)(REPOSITORY), getattr(effective, method)(REPOSITORY)

    old_labels, labels = before_and_after("issue_labels_for")
    assert set(labels) <= set(old_labels)
    old_ci, ci = before_and_after("ci_for")
    assert set(ci.ignore) >= set(old_ci.ignore)
    old_filters, filters = before_and_after("filters_for")
    assert set(filters.ignore_labels) >= set(old_filters.ignore_labels)
    assert set(filters.ignore_authors) >= set(old_filters.ignore_authors)
    assert filters.drafts <= old_filters.drafts
    old_trust, trust = before_and_after("trust_for")
    assert RepositoryPermission(trust.min_permission).rank >= RepositoryPermission(old_trust.min_permission).rank
    old_policy, policy = before_and_after("policy_for")
    assert set(policy.protected_paths) >= set(old_policy.protected_paths)
    for key in ("max_files", "max_changed_lines", "max_bytes", "max_file_bytes", "max_binary_bytes"):
        assert getattr(policy, key) <= getattr(old_policy, key)
    for key in ("protected", "workflows"):
        assert getattr(policy, key) in {getattr(old_policy, key), "reject"}
        assert getattr(old_policy, key) == "approve" or getattr(policy, key) == "reject"
    old_rules, rules = before_and_after("verification_for")
    assert rules.enabled == old_rules.enabled
    assert rules.timeout_s <= old_rules.timeout_s
    assert rules.egress == old_rules.egress
    for key in ("setup", "tests", "lint", "build"):
        assert getattr(old_rules, key) is None or getattr(rules, key) is not None
    old_budgets, budgets = before_and_after("budgets_for")
    for unit in ("usd", "tokens"):
        for scope in Scope:
            old, new = (getattr(limits.of(scope), unit) for limits in (old_budgets, budgets))
            assert old is None or (new is not None and new <= old)
        for purpose in Purpose:
            old, new = (getattr(limits.cap(purpose), unit) for limits in (old_budgets, budgets))
            assert old is None or (new is not None and new <= old)
    assert effective.planner.max_tasks <= operator.planner.max_tasks
    assert effective.planner.max_task_files <= operator.planner.max_task_files
    assert effective.planner.max_task_lines <= operator.planner.max_task_lines
    assert effective.planner.min_confidence >= operator.planner.min_confidence
    assert Risk(effective.planner.max_risk).rank <= Risk(operator.planner.max_risk).rank
    assert effective.planner.approve in {operator.planner.approve, "manual"}
    for key in ("max_per_repository", "max_attempts", "max_open_pull_requests", "max_new_pull_requests_per_hour"):
        assert getattr(effective.dispatch, key) <= getattr(operator.dispatch, key)
    assert effective.dispatch.dependencies in {operator.dispatch.dependencies, "merge"}
    drafts = ("never", "untrusted", "always")
    assert drafts.index(effective.publishing.draft) >= drafts.index(operator.publishing.draft)
    assert set(effective.publishing.labels) >= set(operator.publishing.labels)
    assert operator.publishing.title_convention in {None, effective.publishing.title_convention}


_PATHS = ("src/a.py", "src/pay/b.py", "docs/c.md", "d.md", "e.py")
_HOURS = [datetime(2026, 11, 3, hour, 15, tzinfo=UTC) for hour in range(24)]


@examples(max_examples=100, deadline=None)
@given(operators(), FILES)
def test_no_file_has_more_merged_than_the_operator_permits(operator: Settings, file: RepositoryFileSettings) -> None:
    sections = [settings.follow_for(REPOSITORY) for settings in (operator, tightened(operator, REPOSITORY, file))]
    old, new = (section.merge.rules(()) for section in sections)
    assert sections[1].model_dump(exclude={"merge"}) == sections[0].model_dump(exclude={"merge"})
    assert new.method == old.method
    asked = file.follow.merge
    for path in _PATHS:
        for now in _HOURS:
            pull = MergeFacts(FollowState.WAITING_FOR_MERGE, "a", "a", paths=(path,), approvals=10, files=1)
            if unmet_conditions(pull, old, now):
                assert unmet_conditions(pull, new, now), (path, now)
        if asked.allowed_paths and not matches(path, asked.allowed_paths):
            assert any("not among the allowed paths" in why for why in unmet_conditions(pull, new, now)) or matches(
                path, new.forbidden_paths
            )
    for facts in (
        MergeFacts(FollowState.WAITING_FOR_MERGE, "a", "a", approvals=count, files=count, lines=count * 100)
        for count in range(6)
    ):
        assert not unmet_conditions(facts, old, _HOURS[0]) or unmet_conditions(facts, new, _HOURS[0])
    assert new.approvals >= (asked.approvals or 0)
    assert (new.min_confidence or 0) >= max(old.min_confidence or 0, asked.min_confidence or 0)
    assert asked.enabled is None or not new.enabled
    if asked.quiet_hours is not None:
        hours, zone = parse_quiet_hours(asked.quiet_hours), ZoneInfo(asked.timezone)
        assert (hours, zone) in new.quiet_spans


def test_merging_is_switched_off_by_a_file_and_not_on() -> None:
    operator = Settings.model_validate(
        {"repositories": [REPOSITORY], "repository": {REPOSITORY: {"follow": {"merge": {"enabled": True}}}}}
    )
    off = RepositoryFileSettings.model_validate({"follow": {"merge": {"enabled": False}}})
    assert not tightened(operator, REPOSITORY, off).follow_for(REPOSITORY).merge.enabled
    assert effects_missing(operator, REPOSITORY, off) == ()
    with pytest.raises(ValidationError):
        RepositoryFileSettings.model_validate({"follow": {"merge": {"enabled": True}}})
    careful = RepositoryFileSettings.model_validate({"follow": {"merge": {"approvals": 2}}})
    nobody_merges = Settings.model_validate({"repositories": [REPOSITORY]})
    assert not tightened(nobody_merges, REPOSITORY, careful).follow_for(REPOSITORY).merge.enabled
    (note,) = effects_missing(nobody_merges, REPOSITORY, careful)
    assert note.startswith("follow.merge: the operator has not switched merging on")


@examples(max_examples=15, deadline=None)
@given(operators(), FILES)
def test_what_a_file_cannot_name_stays_as_the_operator_has_it(operator: Settings, file: RepositoryFileSettings) -> None:
    effective = tightened(operator, REPOSITORY, file)
    ours = {"repository", "planner", "dispatch", "publishing"}
    assert effective.model_dump(exclude=ours) == operator.model_dump(exclude=ours)
    assert effective.agent_for(REPOSITORY) == operator.agent_for(REPOSITORY)
    assert effective.gateway_settings_for(REPOSITORY) == operator.gateway_settings_for(REPOSITORY)
    for section in ("planner", "dispatch", "publishing"):
        known = {path[1] for path in leaf_paths(RepositoryFileSettings) if path[0] == section}
        before, after = getattr(operator, section), getattr(effective, section)
        assert before.model_dump(exclude=known) == after.model_dump(exclude=known)


@pytest.mark.parametrize(
    ("operators_line", "own_line", "code"),
    [("true", "exit 3", 3), ("exit 4", "true", 4), ("true # a; comment", "true", 0), ('echo "it\'s"', "echo '\"'", 0)],
)
def test_both_commands_are_run_and_either_may_fail(operators_line: str, own_line: str, code: int) -> None:
    operator = Settings.model_validate({"repositories": [REPOSITORY], "verification": {"tests": operators_line}})
    file = RepositoryFileSettings.model_validate({"verification": {"tests": own_line}})
    line = tightened(operator, REPOSITORY, file).verification_for(REPOSITORY).tests
    assert line is not None
    assert subprocess.run(["/bin/sh", "-c", line], check=False, capture_output=True, timeout=30).returncode == code


def test_what_has_no_effect_is_told() -> None:
    operator = Settings.model_validate(
        {
            "repositories": [REPOSITORY],
            "verification": {"enabled": False},
            "publishing": {"title_convention": "plain"},
        }
    )
    file = RepositoryFileSettings.model_validate(
        {
            "issue_labels": ["Squire", "agent"],
            "verification": {"lint": "make lint"},
            "publishing": {"title_convention": "conventional"},
        }
    )
    assert effects_missing(operator, REPOSITORY, file) == (
        "issue_labels: agent is not among the operator's labels, and chooses no issue",
        "verification: the operator has switched it off, so that lint is not run",
        "publishing.title_convention: the operator has set it, and that counts",
    )
    assert tightened(operator, REPOSITORY, file).issue_labels_for(REPOSITORY) == ("squire",)


def test_of_two_files_the_keys_of_the_nearer_one_count() -> None:
    preset = RepositoryFileSettings.model_validate(
        {"policy": {"max_files": 5, "max_bytes": 100}, "ci": {"ignore": ["a"]}}
    )
    own = RepositoryFileSettings.model_validate({"policy": {"max_files": 7}, "ci": {"ignore": []}})
    assert combined(preset, own) == {"policy": {"max_files": 7, "max_bytes": 100}, "ci": {"ignore": ()}}
