"""The views on rows that are put into the tables by hand, with answers that were worked out by hand.

Moments are seconds from noon of Monday, 2 March 2026, UTC; the file was published two hours after it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from squire_pipelines.warehouse import changes, schema

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MONDAY = date(2026, 3, 2)
PUBLISHED = 7200
SHOP, SITE = "acme/shop", "acme/site"
OURS, THEIRS = "a" * 40, "b" * 40
Ask = Callable[[str], list[tuple[Any, ...]]]


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOON + timedelta(seconds=seconds)


class Tables:
    """Empty tables, into which rows are put with what matters of them; the rest is made up."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.number = 0
        schema.create_tables(connection)

    def add(self, table: str, **values: Any) -> None:
        columns = self.connection.execute(
            "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = ?", [table]
        ).fetchall()
        self.number += 1
        made_up = {"VARCHAR": "x", "BIGINT": self.number, "DOUBLE": 0.0, "BOOLEAN": False, "JSON": "{}"}
        for name, kind, nullable in columns:
            if name not in values and not nullable:
                values[name] = made_up.get(kind, NOON)
        marks = ", ".join("?" * len(values))
        self.connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))  # noqa: S608 - a test's own

    def task(self, name: str, repository: str, status: str, **values: Any) -> None:
        values = {"created_at": NOON, "attempts": 0, "kind": "fix_ci", **values}
        self.add("tasks", id=name, title=name, repository=repository, status=status, trace_id=f"trace-{name}", **values)

    def ready(self, task: str, *moments: float) -> None:
        for moment in moments:
            self.add("task_events", task_id=task, subject="task", after="ready", occurred_at=at(moment))

    def attempt(self, task: str, number: int, moments: tuple[float | None, ...], **values: Any) -> None:
        """`moments` are those of queued, claimed, agent started, agent ended, ended."""
        names = ("queued_at", "claimed_at", "agent_started_at", "agent_ended_at", "ended_at")
        self.add(
            "attempts",
            **{
                "id": f"{task}-{number}",
                "task_id": task,
                "number": number,
                "repository": SHOP,
                "status": "ended",
                "trace_id": f"trace-{task}",
                **dict(zip(names, map(at, moments), strict=True)),
                "startable_at": at(moments[0]),
                **values,
            },
        )

    def call(self, *, model: str = "large", latency_s: float = 1, cost_usd: float | None = None, **values: Any) -> None:
        values = {
            "purpose": "agent",
            "ok": True,
            "repository": SHOP,
            "occurred_at": NOON,
            "provider": "claude",
            **values,
        }
        self.add("model_calls", model=model, latency_s=latency_s, cost_usd=cost_usd, **values)


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = Tables(connection)
        fill(tables)
        changes.create_touched_tables(connection, everything=True)
        changes.derive(connection)
        schema.create_metrics(connection)
        yield lambda sql: connection.execute(sql).fetchall()


def fill(tables: Tables) -> None:
    tables.add("_publication", published_at=at(PUBLISHED))
    tables.add("targets", name="ready_to_agent", seconds=60, share=0.5)
    tables.add("targets", name="ready_to_pull_request", seconds=300, share=0.9)
    for target, allowed, seconds in (("task_failure", 0.1, None), ("ready_to_agent", 0.5, 30)):
        tables.add("repository_targets", repository=SHOP, target=target, allowed=allowed, seconds=seconds)
    # Merged as the agent left it. SessionResult 10 minutes before it was planned, approved after one.
    for opened, closed in ((-9000, -8000), (-600, 500), (600, None)):  # the second is what the task answers
        episode = {"repository": SHOP, "kind": "open_issue", "key": "7"}
        tables.add("signal_episodes", opened_at=at(opened), closed_at=closed and at(closed), **episode)
    tables.task(
        "merged",
        SHOP,
        "succeeded",
        spec='{"signals": ["open_issue:7", "open_issue:8"]}',
        cause="completed",
        attempts=1,
        ready_at=at(60),
        ended_at=at(340),
    )
    tables.ready("merged", 60)
    used = {"model": "large", "prompt_version": "p1", "cause": "completed", "head_sha": OURS, "runner": "docker"}
    tables.attempt(
        "merged",
        1,
        (90, 95, 100, 300, 340),
        startable_at=at(60),
        cost_usd=0.30,
        choice='{"agent": "fast", "kind": "codex", "reason": "rule"}',
        timings='{"create_s": 0.5, "start_s": 0.25, "image_s": 2, "workspace_in_s": 1.5, "first_call_s": 4}',
        **used,
    )
    tables.call(task_id="merged", attempt_id="merged-1", cost_usd=0.10, latency_s=1, input_tokens=10, output_tokens=1)
    tables.call(task_id="merged", attempt_id="merged-1", cost_usd=0.20, latency_s=3, input_tokens=20, output_tokens=2)
    outcome = {"repository": SHOP, "state": "merged", "checks": "passed"}
    tables.add(
        "outcomes", task_id="merged", pr_number=1, head_sha=OURS, opened_at=at(330), merged_at=at(930), **outcome
    )
    # Lost once, then merged with a commit of somebody else's.
    tables.task(
        "helped",
        SHOP,
        "succeeded",
        cause="completed",
        attempts=2,
        created_at=at(1000),
        ready_at=at(1100),
        ended_at=at(1300),
    )
    tables.ready("helped", 1000, 1100)
    tables.attempt(
        "helped", 1, (1000, 1010, 1020, None, 1100), **{**used, "cause": "lost", "head_sha": None, "transient": True}
    )
    tables.attempt("helped", 2, (1130, 1131, 1133, 1233, 1300), **used)
    tables.call(task_id="helped", attempt_id="helped-2", cost_usd=0.30, latency_s=2, input_tokens=5, output_tokens=5)
    tables.add(
        "outcomes", task_id="helped", pr_number=2, head_sha=THEIRS, opened_at=at(1243), merged_at=at(1843), **outcome
    )
    # Failed, after a slow start, by a model whose price nobody knows. Planning cost something too.
    tables.task("failed", SHOP, "failed", kind="manual", cause="timeout", attempts=1, ready_at=NOON, ended_at=at(2000))
    tables.ready("failed", 0)
    tables.attempt(
        "failed", 1, (400, 450, 500, 1900, 2000), cause="timeout", model="small", message="too slow", transient=False
    )
    tables.call(model="small", task_id="failed", attempt_id="failed-1", ok=False, input_tokens=1, output_tokens=0)
    tables.call(model="small", task_id="failed", attempt_id="failed-1", input_tokens=1, output_tokens=1)
    tables.call(purpose="plan", provider=None, cost_usd=0.40, latency_s=9, input_tokens=100, output_tokens=50)
    tables.task("cancelled", SHOP, "cancelled", ready_at=NOON, ended_at=at(10))
    # The other repository: nothing is over there.
    tables.task("proposed", SITE, "proposed")
    tables.task("later", SITE, "ready", ready_at=at(100), not_before=at(7300))
    tables.task("blocked", SITE, "ready", ready_at=at(7190))
    tables.add("task_dependencies", task_id="blocked", depends_on="proposed")
    tables.task("next", SITE, "ready", ready_at=at(7000))
    tables.task("dead", SITE, "running", ready_at=at(6000), attempts=1)
    running: dict[str, Any] = {"repository": SITE, "status": "running"}
    tables.attempt("dead", 1, (6010, 6020, 6030, None, None), lease_until=at(6100), **running)
    tables.task("busy", SITE, "running", ready_at=at(7100), attempts=1)
    tables.attempt("busy", 1, (7110, 7120, 7130, None, None), lease_until=at(7260), **running)
    tables.task("queued", SITE, "running", ready_at=at(7195), attempts=1)
    tables.attempt("queued", 1, (7196, None, None, None, None), claim_until=at(7300), repository=SITE, status="queued")
    tables.task("open", SITE, "succeeded", cause="completed", ready_at=at(3000), ended_at=at(3100))
    tables.add(
        "outcomes", task_id="open", repository=SITE, pr_number=9, state="open", checks="failed", opened_at=at(3200),
        trace_id="trace-open",
    )  # fmt: skip
    # Readings, and checks that were red.
    reading: dict[str, Any] = {"repository": SHOP, "source": "open_issues", "status": "fresh"}
    tables.add("collections", ended_at=at(0), requests=2, quota_cost=3, quota_remaining=4000, **reading)
    tables.add("collections", ended_at=at(60), requests=1, quota_cost=1, quota_remaining=3999, **reading)
    tables.add("collections", ended_at=at(120), **{**reading, "status": "stale"})
    tables.add("collections", ended_at=at(12 * 3600), requests=1, quota_cost=1, quota_remaining=5000, **reading)
    fill_episodes(tables)
    for number, (state, settled) in enumerate((("passed", 90), ("passed", 500), ("failed", 60), ("waiting", None))):
        rerun = {"repository": SHOP, "head_sha": str(number), "failure": "flaky", "reason": "it passed before"}
        tables.add("check_reruns", state=state, settled_at=settled and at(settled), **rerun)
    tables.add("check_reruns", repository=SHOP, failure="infrastructure", reason="its runner was lost", state="refused")


def fill_episodes(tables: Tables) -> None:
    red: dict[str, Any] = {"repository": SHOP, "kind": "failed_ci", "branch": "main", "on_default_branch": True}
    for key, number, opened, closed in (
        ("a", 1, 0, 100),
        ("b", 1, 50, 200),
        ("a", 2, 1000, 1010),
        ("a", 3, 7000, None),
    ):
        span = {"opened_at": at(opened), "closed_at": closed and at(closed)}
        tables.add("signal_episodes", key=key, number=number, **span, **red)
    # A pull request: ada's turn for 100 s, the reviewers' for 200 s, ada's again until now.
    tables.add("signal_episodes", id=900, repository=SHOP, kind="open_pr", number=1, opened_at=at(0))
    for change, login, moment in (("opened", "ada", 0), ("changed", None, 100), ("changed", "ada", 300)):
        tables.add("signal_events", episode_id=900, change=change, waits_for=login, occurred_at=at(moment))
    # A remark that waited for ben for 50 s.
    span = {"opened_at": at(0), "closed_at": at(50)}
    tables.add("signal_episodes", id=901, repository=SHOP, kind="review_finding", number=1, **span)
    for change, login, moment in (("opened", "ben", 0), ("gone", None, 50)):
        tables.add("signal_events", episode_id=901, change=change, waits_for=login, occurred_at=at(moment))


def test_success_is_told_by_repository_kind_model_prompt_and_week(ask: Ask) -> None:
    assert ask("FROM success_rate ORDER BY repository, kind, model NULLS LAST") == [
        (SHOP, "fix_ci", "large", "p1", MONDAY, 2, 2, 0, 0, 1.0, 3, 2, 2, 1.0, pytest.approx(0.60)),
        (SHOP, "fix_ci", None, None, MONDAY, 1, 0, 0, 1, None, 0, 0, 0, None, None),
        (SHOP, "manual", "small", None, MONDAY, 1, 0, 1, 0, 0.0, 1, 0, 0, None, None),
        (SITE, "fix_ci", None, None, MONDAY, 1, 1, 0, 0, 1.0, 0, 0, 0, None, None),
    ]


def test_failures_have_their_causes(ask: Ask) -> None:
    assert ask(
        "SELECT repository, cause, transient, attempts, tasks, share, last_at, last_message, last_attempt_id, "
        "last_trace_id FROM failure_causes ORDER BY cause"
    ) == [
        (SHOP, "lost", True, 1, 1, 0.5, at(1100), None, "helped-1", "trace-helped"),
        (SHOP, "timeout", False, 1, 1, 0.5, at(2000), "too slow", "failed-1", "trace-failed"),
    ]


def test_seconds_from_signal_to_merge_are_split_into_stages(ask: Ask) -> None:
    stages = "to_plan_s, to_ready_s, to_dispatch_s, to_claim_s, to_agent_s, agent_s, to_pull_request_s, to_merge_s"
    assert ask(f"SELECT task_id, {stages}, seconds_since_seen, seconds_open FROM time_to_merge ORDER BY task_id") == [  # noqa: S608 - a test's own
        # The agent's stage spans both attempts and the wait between them.
        ("helped", None, 0, 0, 10, 10, 213, 10, 600, None, 600),
        ("merged", 600, 60, 30, 5, 5, 200, 30, 600, 1530, 600),
    ]


def test_stages_have_their_mean_and_percentiles(ask: Ask) -> None:
    stages = ask("SELECT stage, tasks, mean_s, p50_s, p95_s FROM stage_times ORDER BY position")
    assert stages == [
        ("seen to planned", 1, 600, 600, 600),
        ("planned to ready", 2, 30, 30, pytest.approx(57)),
        ("ready to dispatched", 2, 15, 15, pytest.approx(28.5)),
        ("dispatched to claimed", 2, 7.5, 7.5, pytest.approx(9.75)),
        ("claimed to agent", 2, 7.5, 7.5, pytest.approx(9.75)),
        ("agent", 2, 206.5, 206.5, pytest.approx(212.35)),
        ("agent to pull request", 2, 20, 20, pytest.approx(29)),
        ("pull request to merged", 2, 600, 600, 600),
    ]
    assert ask("SELECT DISTINCT repository, week FROM stage_times") == [(SHOP, MONDAY)]


def test_container_starts_are_measured_or_else_taken_from_the_claim(ask: Ask) -> None:
    assert ask("FROM container_starts ORDER BY repository, runner NULLS LAST") == [
        # 0.75 s measured; 10 s and 2 s from claim to agent.
        (SHOP, "docker", MONDAY, 3, 2, pytest.approx(9.2), 10, 2, 1.5, 4),
        (SHOP, None, MONDAY, 1, 50, 50, 50, None, None, None),
        (SITE, None, MONDAY, 2, 10, 10, 10, None, None, None),
    ]


def test_quota_is_told_by_source_and_day(ask: Ask) -> None:
    assert ask("FROM quota_used ORDER BY day") == [
        (SHOP, "open_issues", MONDAY, 3, 1, 3, 4, 3999),
        (SHOP, "open_issues", date(2026, 3, 3), 1, 0, 1, 1, 5000),
    ]


def test_models_have_their_latency_and_cost(ask: Ask) -> None:
    assert ask("FROM model_use ORDER BY model, purpose") == [
        ("claude", "large", "agent", MONDAY, 3, 0, 2, pytest.approx(2.9), 35, 8, pytest.approx(0.60), 0),
        (None, "large", "plan", MONDAY, 1, 0, 9, 9, 100, 50, pytest.approx(0.40), 0),
        ("claude", "small", "agent", MONDAY, 2, 1, 1, 1, 2, 1, None, 1),
    ]


def test_agents_have_their_cost_and_their_merged_pull_requests(ask: Ask) -> None:
    (use,) = ask("SELECT * FROM agent_use WHERE agent_name IS NOT NULL")
    assert use == ("fast", "codex", "large", 1, 0, 1, 1, pytest.approx(0.30), pytest.approx(0.30), 200)


def test_merged_pull_request_costs_what_failed_and_planned_ones_cost_too(ask: Ask) -> None:
    # 0.30 and 0.30 for agents, 0.40 for the plan, two merged.
    assert ask("FROM cost_per_merged_pr ORDER BY repository") == [
        (SHOP, date(2026, 3, 1), 4, 2, pytest.approx(0.60), 0.40, pytest.approx(1.00), pytest.approx(0.50)),
        (SITE, date(2026, 3, 1), 1, 0, None, None, 0, None),
    ]


def test_merged_without_human_change_is_told_by_the_commit(ask: Ask) -> None:
    assert ask("FROM merged_unchanged") == [(SHOP, "fix_ci", "large", MONDAY, 2, 1, 0.5)]


def test_targets_are_met_or_missed_and_what_is_late_is_missed_already(ask: Ask) -> None:
    assert ask("FROM sla_attainment ORDER BY repository, target, week NULLS LAST") == [
        # By the repository's own 30 s: merged 40 s, helped 20 s; failed 100 s, cancelled is excused.
        (SHOP, "ready_to_agent", MONDAY, 30, 3, 1, 2, pytest.approx(1 / 3), 0.5, False),
        # merged 270 s, helped 243 s; failed has none.
        (SHOP, "ready_to_pull_request", MONDAY, 300, 3, 2, 1, pytest.approx(2 / 3), 0.9, False),
        # dead and busy started after 20 s, queued may still; of later, next and blocked nobody knows what holds them.
        (SITE, "ready_to_agent", None, 60, 2, 2, 0, 1, 0.5, True),
        # dead is late; busy and queued are not yet.
        (SITE, "ready_to_pull_request", None, 300, 1, 0, 1, 0, 0.9, False),
    ]


def test_a_targets_burn_rate_counts_what_the_hours_before_the_publication_have(ask: Ask) -> None:
    rows = ask("SELECT repository, target, span, allowed, burn_rate FROM target_burn_rates")
    spans = ("1 h", "6 h", "3 d")
    assert rows == sorted(rows, key=lambda row: (row[0], row[1], spans.index(row[2])))
    assert all(row[3:] == tuple(None if v is None else round(v, 4) for v in row[3:]) for row in rows)
    rows = ask("SELECT target, span, events, missed, round(burn_rate, 3) FROM target_burn_rates ORDER BY ALL")
    assert [row[:2] for row in rows] == [
        (target, span) for target in ("ready_to_agent", "task_failure") for span in ("1 h", "3 d", "6 h")
    ]
    assert all(missed <= events for _, _, events, missed, _ in rows)
    assert all(rate is None if not events else rate >= 0 for _, _, events, _, rate in rows)
    assert rows[4][2] > 0


def test_what_is_stuck_says_why_and_since_when(ask: Ask) -> None:
    assert ask("SELECT task_id, attempt_id, reason, detail, waiting_s FROM stuck ORDER BY waiting_s DESC") == [
        ("proposed", None, "approval", "nobody has approved it", 7200),
        ("later", None, "retry", "tried again at 2026-03-02 14:01:40 UTC", 7100),
        ("open", None, "pull_request_checks", "pull request #9 is open, its checks: failed", 4000),
        ("dead", "dead-1", "lease_expired", "its run did not renew its lease", 1180),
        ("next", None, "slot", "waits for its start", 200),
        ("busy", "busy-1", "running", "its agent is at work", 80),
        ("blocked", None, "dependency", "waits for proposed", 10),
        ("queued", "queued-1", "start", "dispatched, its run has not begun", 4),
    ]


def test_red_time_counts_overlapping_failures_once(ask: Ask) -> None:
    # 0 to 200 by two checks, 1000 to 1010, and 7000 until now.
    assert ask("FROM ci_red_time") == [
        (SHOP, "main", True, 3, 4, True, at(0), at(PUBLISHED), 410, 200),
    ]


def test_a_fact_that_returned_counts_as_an_episode_of_its_own(ask: Ask) -> None:
    assert ask("FROM episode_times WHERE kind = 'failed_ci'") == [(SHOP, "failed_ci", 4, 2, 1, 460, 100, 200)]


def test_who_was_waited_for_is_told_by_turns(ask: Ask) -> None:
    assert ask("FROM waited_for ORDER BY login NULLS LAST") == [
        (SHOP, "ada", "open_pr", 1, 1, 100 + PUBLISHED - 300, PUBLISHED - 300),
        (SHOP, "ben", "review_finding", 1, 0, 50, 50),
        (SHOP, None, "open_pr", 1, 0, 200, 200),
    ]


def test_agent_runs_that_a_second_run_of_checks_saved_are_told_with_the_reason(ask: Ask) -> None:
    columns = "repository, failure, reason, agent_runs_saved, reruns, failed_again, refused"
    saved = ask(f"SELECT {columns} FROM agent_runs_saved")  # noqa: S608 - names of columns
    assert sorted(saved) == [
        (SHOP, "flaky", "it passed before", 2, 4, 1, 0),
        (SHOP, "infrastructure", "its runner was lost", 0, 1, 0, 1),
    ]


def test_overview_counts_a_start_from_the_last_time_the_task_became_ready(ask: Ask) -> None:
    assert ask(
        "SELECT task_id, ready_at, agent_started_at, seconds_to_agent, model, cost_usd FROM task_overview "
        "WHERE repository = 'acme/shop' AND attempts > 0 ORDER BY task_id"
    ) == [
        ("failed", at(0), at(500), 500, "small", None),
        ("helped", at(1000), at(1020), 20, "large", 0.30),
        ("merged", at(60), at(100), 40, "large", pytest.approx(0.30)),
    ]


def test_repositories_have_their_success(ask: Ask) -> None:
    assert ask("FROM success_by_repository ORDER BY repository") == [
        (SHOP, 4, 0, 2, 1, 1, pytest.approx(2 / 3), 4, 2, 2, 0, 1.0),
        (SITE, 8, 7, 1, 0, 0, 1.0, 3, 1, 0, 0, None),
    ]
