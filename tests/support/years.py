"""A ledger with a history of any length, put in at once: for the report, the export and the queries of the guide.

Rows are what the pipeline writes, with times that go back from the ledger's clock; the same seed makes the same rows.
"""

import random
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert

from squire_pipelines.ledger import tables
from squire_pipelines.ledger.store import Ledger

REPOSITORIES = ("acme/shop", "acme/site", "acme/billing", "acme/mobile-app", "acme/docs")
MODELS = ("openai/gpt-5.4-mini", "anthropic/claude-sonnet-5", "mistral/devstral-3")
KINDS = ("fix_ci", "address_review", "resolve_issue", "manual")
FAILURES = (
    ("timeout", True, "the agent was stopped after 1800 s"),
    ("out_of_memory", True, "the agent was killed for want of memory at 4.0 GiB"),
    ("agent_error", False, "the agent ended with exit code 1"),
    ("policy_refused", False, "the change touches .github/workflows/ci.yml, which is protected"),
    ("lost", True, "its run gave no sign of life"),
    ("model_unavailable", True, "the model answered 503"),
)


class _Rows:
    def __init__(self) -> None:
        self.by_table: dict[str, list[dict[str, Any]]] = {}

    def add(self, table: str, **values: Any) -> None:
        self.by_table.setdefault(table, []).append(values)


def fill(
    ledger: Ledger,
    *,
    days: int = 30,
    tasks: int = 200,
    seed: int = 1,
    repositories: tuple[str, ...] = REPOSITORIES,
    text: str = "",
) -> None:
    """Put `tasks` tasks and what belongs to them into the last `days` days of the ledger's clock.

    Args:
        ledger: Empty.
        days: How long ago it begins.
        tasks: How many there are.
        seed: Of the chance that decides.
        repositories: Their names.
        text: Added to all that strangers write.
    """
    chance = random.Random(seed)  # noqa: S311 - chance that repeats itself is the point
    rows = _Rows()
    with ledger.write() as tx:
        now = tx.now
        births = sorted(chance.uniform(0.05, days * 86400) for _ in range(tasks))
        for number, ago in enumerate(reversed(births)):
            _task(
                rows,
                chance,
                number=number,
                born=now - timedelta(seconds=ago),
                now=now,
                repository=chance.choice(repositories),
                text=text,
            )
        for number in range(max(1, days // 2)):
            at = now - timedelta(seconds=chance.uniform(1, days * 86400))
            _reading(rows, chance, number=number, at=at, repositories=repositories, text=text)
        for table in tables.metadata.sorted_tables:  # those that others refer to come first
            for start in range(0, len(rows.by_table.get(table.name, ())), 1000):
                tx.execute(insert(table), rows.by_table[table.name][start : start + 1000])


def _task(
    rows: _Rows, chance: random.Random, *, number: int, born: datetime, now: datetime, repository: str, text: str
) -> None:
    task_id, trace = f"t{number:08}", f"{number:032x}"
    model, version = chance.choice(MODELS), chance.choice(("v3", "v4"))
    kind = chance.choices(KINDS, (4, 3, 4, 1))[0]
    seen = born - timedelta(seconds=chance.uniform(20, 900))
    queued = born + timedelta(seconds=chance.lognormvariate(3, 1))
    _plan(rows, chance, number=number, born=born, repository=repository, trace=trace, text=text)
    on_default_branch = chance.random() < 0.6
    signal = {
        "repository": repository,
        "kind": "open_issue" if kind != "fix_ci" else "failed_ci",
        "key": str(number),
        "version": "v1",
        "title": f"It is broken {text}",
        "url": f"https://example.org/{repository}/{number}",
        "updated_at": born,
    }
    gone = min(now, seen + timedelta(hours=chance.lognormvariate(0.5, 1))) if chance.random() < 0.97 else None
    details = {"branch": "main", "on_default_branch": on_default_branch}
    seen_at = {"first_seen_at": seen, "last_seen_at": born, "gone_at": gone}
    rows.add("signals", **signal, **seen_at, signal={"details": details})
    rows.add("signal_episodes", **signal, **details, number=1, opened_at=seen, closed_at=gone)
    moment, tries, status = queued, 0, "running"
    cause: str | None = None
    message: str | None = None
    while status == "running" and tries < 3 and moment < now:
        tries += 1
        status, cause, message, moment = _attempt(
            rows,
            chance,
            attempt_id=f"{task_id}-{tries}",
            task_id=task_id,
            number=tries,
            queued=moment,
            repository=repository,
            with_=(model, version),
            trace=trace,
            text=text,
        )
    if moment >= now or status == "running":
        status, cause, message = ("ready", None, None) if tries < 3 else ("failed", cause, message)
    if chance.random() < 0.04:
        status, cause, message = "cancelled", "cancelled", f"a person did not want it {text}"
    over = status in {"succeeded", "failed", "cancelled"}
    moment = min(moment, now)
    rows.add(
        "tasks",
        id=task_id,
        repository=repository,
        status=status,
        kind=kind,
        title=f"Mend number {number} {text}",
        priority=chance.randrange(4),
        fingerprint=f"{number:064x}",
        spec={
            "title": f"Mend number {number} {text}",
            "signals": [f"{'failed_ci' if kind == 'fix_ci' else 'open_issue'}:{number}"],
        },
        branch=f"squire/{task_id}",
        base_branch="main",
        plan_id=f"p{number:08}",
        attempts=tries,
        max_attempts=3,
        cause=cause,
        message=message,
        trace_id=trace,
        created_at=born,
        ready_at=born,
        ended_at=moment if over else None,
        updated_at=moment,
    )
    for before, after, at in ((None, "ready", born), ("ready", "running", queued), ("running", status, moment)):
        rows.add(
            "task_events",
            task_id=task_id,
            attempt_id=None,
            subject="task",
            before=before,
            after=after,
            actor="test",
            reason=f"so it went {text}",
            trace_id=trace,
            at=at,
        )
    if number and chance.random() < 0.1:
        rows.add("task_dependencies", task_id=task_id, depends_on=f"t{number - 1:08}")
    if status == "succeeded" and cause == "completed":
        _outcome(rows, chance, number=number, task_id=task_id, opened=moment, now=now, repository=repository)


def _plan(
    rows: _Rows, chance: random.Random, *, number: int, born: datetime, repository: str, trace: str, text: str
) -> None:
    rows.add(
        "plans",
        id=f"p{number:08}",
        repository=repository,
        planner="rules",
        signals_digest="0" * 64,
        plan={"tasks": [], "notes": [text]},
        findings=[],
        passed=True,
        tasks_proposed=1,
        tasks_created=1,
        trace_id=trace,
        created_at=born,
        admitted_at=born,
        updated_at=born,
    )
    _call(
        rows,
        chance,
        purpose="plan",
        repository=repository,
        task_id=None,
        attempt_id=None,
        model=MODELS[0],
        at=born,
        trace=trace,
    )
    rows.add(
        "deliveries",
        source="github",
        delivery_id=f"d{number}",
        body_sha256=f"{number:064x}",
        event="issues",
        action="opened",
        repository=repository,
        body=b"{}",
        trace_id=trace,
        received_at=born,
        tries=1,
        updated_at=born,
    )
    rows.add("audit", at=born, actor="ann", action="plan.admitted", subject=f"p{number:08}", detail={}, trace_id=trace)


def _attempt(
    rows: _Rows,
    chance: random.Random,
    *,
    attempt_id: str,
    task_id: str,
    number: int,
    queued: datetime,
    repository: str,
    with_: tuple[str, str],
    trace: str,
    text: str,
) -> tuple[str, str, str, datetime]:
    claimed = queued + timedelta(seconds=chance.uniform(1, 6))
    started = claimed + timedelta(seconds=chance.lognormvariate(0.5, 0.5))
    stopped = started + timedelta(seconds=chance.lognormvariate(5.5, 0.8))
    ended = stopped + timedelta(seconds=chance.uniform(1, 20))
    if chance.random() < 0.74:
        cause, transient, message = ("completed", False, "a pull request is open")
        status = "succeeded"
        if chance.random() < 0.07:
            cause, message = "no_changes", "there was nothing to do"
    else:
        cause, transient, message = chance.choices(FAILURES, (6, 2, 4, 3, 1, 2))[0]
        status = "running" if transient else "failed"
    message = f"{message} {text}".strip()
    model, version = with_
    rows.add(
        "attempts",
        id=attempt_id,
        task_id=task_id,
        number=number,
        repository=repository,
        status="ended",
        trace_id=trace,
        claim_until=queued + timedelta(seconds=120),
        head_sha=attempt_id.rjust(40, "0"),
        agent="opencode",
        runner="docker",
        sandboxed=True,
        image="sha256:" + "0" * 64,
        limits={"cpus": 2},
        cause=cause,
        transient=transient,
        message=message,
        evidence={"log_tail": [text]},
        input_tokens=40_000,
        output_tokens=4_000,
        queued_at=queued,
        claimed_at=claimed,
        agent_started_at=started,
        agent_ended_at=stopped,
        ended_at=ended,
        model=model,
        prompt_version=version,
        timings={"image_s": 0.02, "create_s": 0.05, "start_s": round(chance.lognormvariate(-1, 0.5), 3)},
        updated_at=ended,
    )
    for _ in range(chance.randrange(2, 6)):
        moment = started + (stopped - started) * chance.random()
        _call(
            rows,
            chance,
            purpose="agent",
            repository=repository,
            task_id=task_id,
            attempt_id=attempt_id,
            model=model,
            at=moment,
            trace=trace,
        )
    rows.add(
        "budgets",
        id=attempt_id,
        purpose="attempt",
        repository=repository,
        task_id=task_id,
        attempt_id=attempt_id,
        reserved_usd=2.0,
        reserved_tokens=200_000,
        spent_usd=0.4,
        spent_tokens=44_000,
        spent_requests=4,
        state="settled",
        opened_at=queued,
        settled_at=ended,
        trace_id=trace,
        updated_at=ended,
    )
    return status, cause, message, ended


def _call(
    rows: _Rows,
    chance: random.Random,
    *,
    purpose: str,
    repository: str,
    task_id: str | None,
    attempt_id: str | None,
    model: str,
    at: datetime,
    trace: str,
) -> None:
    tokens = chance.randrange(2_000, 60_000)
    priced = model != MODELS[2]  # one whose price nobody knows
    rows.add(
        "model_calls",
        purpose=purpose,
        repository=repository,
        task_id=task_id,
        attempt_id=attempt_id,
        model=model,
        ok=True,
        status=200,
        input_tokens=tokens,
        output_tokens=tokens // 12,
        cost_usd=tokens * (3e-6 if model == MODELS[1] else 4e-7) if priced else None,
        latency_s=round(chance.lognormvariate(1, 0.6), 3),
        trace_id=trace,
        at=at,
    )


def _outcome(
    rows: _Rows, chance: random.Random, *, number: int, task_id: str, opened: datetime, now: datetime, repository: str
) -> None:
    decided = opened + timedelta(hours=chance.lognormvariate(1, 1.2))
    state = "open" if decided >= now else chance.choices(("merged", "closed", "reverted", "open"), (80, 12, 2, 6))[0]
    merged = decided if state in {"merged", "reverted"} else None
    changed = opened if state == "open" else decided
    rows.add(
        "outcomes",
        task_id=task_id,
        repository=repository,
        pr_number=number + 1,
        pr_url=f"https://example.org/{repository}/pull/{number + 1}",
        head_sha=f"{task_id}-1".rjust(40, "0") if chance.random() < 0.8 else "f" * 40,
        state=state,
        checks=chance.choice(("passed", "passed", "failed")),
        opened_at=opened,
        merged_at=merged,
        closed_at=None if state == "open" else decided,
        forge_updated_at=changed,
        updated_at=changed,
    )
    if merged is not None and number % 2:
        _merge(rows, number=number, task_id=task_id, merged=merged, repository=repository)


def _merge(rows: _Rows, *, number: int, task_id: str, merged: datetime, repository: str) -> None:
    of_pull = {"task_id": task_id, "repository": repository, "pr_number": number + 1, "updated_at": merged}
    way = ("direct", "auto_merge", "merge_queue")[number % 3]
    head = f"{task_id}-1".rjust(40, "0")
    progress = {"progress": "merged", "reason": "", "way": way, "method": "squash", "head_sha": head}
    rows.add("merges", **of_pull, **progress, asked_at=merged, refusals=0)
    verdict, reason = ("passed", "the checks of the base branch passed")
    if number % 5 == 0:
        verdict, reason = ("broken", "tests passed before the merge and fails now, in a second run, too")
    rows.add("base_watches", **of_pull, verdict=verdict, reason=reason, merge_sha="e" * 40)


def _reading(
    rows: _Rows, chance: random.Random, *, number: int, at: datetime, repositories: tuple[str, ...], text: str
) -> None:
    failed = number % 9 == 0
    rows.add(
        "collections",
        repository=chance.choice(repositories),
        source=chance.choice(("open_prs", "failed_ci", "open_issues", "review_findings")),
        status="stale" if failed else "fresh",
        signals=3,
        changed=1,
        truncated=False,
        error_code="github_unavailable" if failed else None,
        error=f"GitHub did not answer {text}" if failed else None,
        started_at=at,
        ended_at=at + timedelta(seconds=1),
        trace_id=f"{number:032x}",
        requests=1,
        quota_cost=chance.randrange(1, 8),
        quota_remaining=chance.randrange(1000, 5000),
        updated_at=at,
    )
