"""The `squire` command in a home of its own, and sample data in its ledger."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from squire_pipelines.cli.main import cli
from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.signals import Collection, CollectionStatus, OpenIssue, Signal, Source
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec
from squire_pipelines.ledger import attempts, collections, outcomes, plans, task_dispatch
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts, RetryRule
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import admission
from tests.support.signal_samples import open_pr

REPOSITORY = "acme/shop"
TRACE = "cd" * 16
RETRY = RetryRule(base_s=30, cap_s=900)


class LateInput(io.RawIOBase):
    """Standard input of a person who writes each of `answers` when they are asked, and not before."""

    def __init__(self, *answers: Callable[[], str]) -> None:
        self._answers = list(answers)
        self._left = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io gives it
        """Give what is left of an answer, or begin the next one."""
        if len(buffer) and not self._left and self._answers:
            self._left = self._answers.pop(0)().encode()
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@dataclass
class Squire:
    """The command in a home of its own, without a terminal."""

    home: Path

    def __call__(self, *words: str, stdin: str | None = None) -> Result:
        """Run `squire` with `words`."""
        return CliRunner().invoke(cli, list(words), prog_name="squire", input=stdin)

    def ok(self, *words: str, stdin: str | None = None) -> str:
        """Run the command, which has to succeed, and return what it writes."""
        result = self(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        """Run the command with `--json`, which has to succeed, and return the parsed document."""
        return json.loads(self.ok(*words, "--json"))

    def fails(self, code: int, *words: str, stdin: str | None = None) -> str:
        """Run the command, which has to exit with `code` and without a traceback; return standard error."""
        result = self(*words, stdin=stdin)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.stderr

    def config(self, text: str) -> Path:
        """Write the settings."""
        path = self.home / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


@dataclass
class SampleData:
    """Fills a ledger with plans, tasks, attempts and readings."""

    ledger: Ledger

    def plan(
        self, *specs: TaskSpec, repository: str = REPOSITORY, approved: bool = True
    ) -> tuple[str, tuple[str, ...]]:
        """Admit a plan; return its id and its tasks' ids."""
        approval = ApprovalRule(automatic=approved, min_confidence=0, max_risk=Risk.HIGH)
        plan = Plan(repository=repository, planner="rules", signals_digest="d" * 8, tasks=specs, notes=("a note",))
        with self.ledger.write() as tx:
            saved = plans.save(tx, plan, (), trace_id=TRACE, run_id="run-1")
            return saved.id, plans.admit(tx, saved.id, admission(approval, 3))

    def task(self, title: str = "Fix it", *, approved: bool = True, repository: str = REPOSITORY) -> str:
        """Create one task and return its id."""
        return self.plan(spec(title), approved=approved, repository=repository)[1][0]

    def running(self, title: str = "Run it") -> Attempt:
        """Create a task, dispatch all that are due, and return the new task's running attempt."""
        task_id = self.task(title)
        with self.ledger.write() as tx:
            task_dispatch.dispatch(tx, max_concurrent=100, max_per_repository=100, claim_deadline_s=60)
            return attempts.claim(tx, f"{task_id}-1", run_id="run-1", lease_s=60)

    def ended(self, cause: Cause, title: str = "End it", *, message: str = "so it ended") -> str:
        """Create a task whose attempt ended with `cause`, and return the task's id."""
        attempt = self.running(title)
        evidence = Evidence(exit_code=7, log_tail=("first line", "last line"), timings_s={"prepare": 0.25, "agent": 70})
        assert attempt.lease_token
        with self.ledger.write() as tx:
            if cause is Cause.COMPLETED:
                url = f"https://github.com/{REPOSITORY}/pull/12"
                attempts.note(tx, attempt.id, attempt.lease_token, AttemptFacts(pr_number=12, pr_url=url))
                outcomes.record_opened(
                    tx, task_id=attempt.task_id, repository=REPOSITORY, pr_number=12, pr_url=url, head_sha="e" * 40
                )
            ending = Ending(cause=cause, message=message, evidence=evidence)
            attempts.settle(tx, attempt.id, attempt.lease_token, ending, retry=RETRY, actor="test")
        return attempt.task_id

    def reading(self, source: Source = Source.OPEN_ISSUES, *, error: str | None = None, title: str = "Broken") -> None:
        """Record one reading of a source: one issue, or an error."""
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        signal = Signal(
            repository=REPOSITORY,
            key="7",
            version="v1",
            title=title,
            url=f"https://github.com/{REPOSITORY}/issues/7",
            updated_at=moment,
            details=OpenIssue(number=7, author="ann"),
            verdict=StartVerdict(may_start=True, reason="@ann, who has write permission here"),
        )
        collection = Collection(
            repository=REPOSITORY,
            source=source,
            status=CollectionStatus.FAILED if error else CollectionStatus.FRESH,
            started_at=moment,
            ended_at=moment,
            signals=() if error or source is not Source.OPEN_ISSUES else (signal,),
            error_code="github" if error else None,
            error=error,
        )
        with self.ledger.write() as tx:
            collections.record(tx, collection, trace_id=TRACE, run_id="run-1")

    def open_pull_request(self, title: str, number: int) -> None:
        """Record a reading of the open pull requests: one of somebody's, from the branch `feature-NUMBER`."""
        signal = open_pr(number).model_copy(update={"title": title, "repository": REPOSITORY})
        moment = signal.updated_at
        collection = Collection(
            repository=REPOSITORY,
            source=Source.OPEN_PRS,
            status=CollectionStatus.FRESH,
            started_at=moment,
            ended_at=moment,
            signals=(signal,),
        )
        with self.ledger.write() as tx:
            collections.record(tx, collection, trace_id=TRACE, run_id="run-1")

    def read(self, question: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call `question`, a function of the ledger's modules, in a read transaction."""
        with self.ledger.read() as tx:
            return question(tx, *args, **options)


def spec(title: str = "Fix it", *, key: str = "a", prompt: str = "Do it well.", **values: Any) -> TaskSpec:
    """Return a task as a planner proposes it."""
    return TaskSpec(key=key, title=title, prompt=prompt, base_branch="main", **values)
