"""A home, and the files beside it, in which the command lines of the pages can be typed."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.adapters.transcript import ModelText, dump
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.signals import Collection, CollectionStatus, Source
from squire_pipelines.ledger import collections, outcomes
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.publish import publish_warehouse
from tests.support.cli import TRACE, SampleData, Squire, spec
from tests.support.deliveries import record_delivery
from tests.support.ledgers import new_sqlite_ledger
from tests.support.secret_store_faults import cheap_store, passphrase
from tests.support.signal_samples import finding, issue

OWN = "owner/name"
_DISTINCT = 6
"""A name of so many letters is one inside of a longer word, too."""

SETTINGS = """repositories = ["owner/name", "owner/one", "owner/two", "acme/api", "acme/web", "acme/shop", "o/r"]
[agent]
kind = "command"
command = ["true"]
[agents.claude-code]
provider = "anthropic"
[webhooks]
public_url = "https://squire.example.com"
[alerts]
webhook_url = "https://alerts.example.com/squire"
apprise = ["ops"]
[hooks.sentry]
projects = { back-end = "owner/one" }
[providers.openai]
protocol = "openai"
[providers.anthropic]
protocol = "anthropic"
models = ["claude-opus-4-5"]
"""
_OLD_TASK = {
    "id": "one",
    "repo": "acme/shop",
    "prompt": "Mend the flaky test",
    "branch": "squire/one",
    "baseBranch": "auto",
    "status": "pending",
    "createdAt": "2026-02-01T12:00:00Z",
}
"""A task as the old product wrote it."""


@dataclass(frozen=True)
class PageHome:
    """A home that can be put back as it was, and what the names of the pages stand for in it.

    Args:
        folder: Has the home, and the folder in which commands are typed.
        names: What each name of the pages is here.
        tasks: The task for a command that wants it in a state of its own.
    """

    folder: Path
    names: Mapping[str, str]
    tasks: Mapping[str, str]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def typed_in(self) -> Path:
        return self.folder / "typed"

    def restore(self) -> None:
        """Put home and folder back as they were when they were made."""
        for part in ("home", "typed"):
            shutil.rmtree(self.folder / part, ignore_errors=True)
            shutil.copytree(self.folder / f"{part}.made", self.folder / part, copy_function=_copy)

    def words(self, words: Sequence[str]) -> list[str]:
        """Return the words of a command line as they are typed here."""
        command = " ".join(words[:2])
        task = self.tasks.get(command, self.tasks["tasks show"])
        names = {**self.names, "t0m1e2x3a4m5p6l": task, "ID": task}
        if command == "schedules resume":
            names["s0m1e2x3a4m5p6l"] = names["paused"]
        elif command == "ledger backup":
            names["ledger-2026-03-01.sqlite"] = "another.sqlite"
        return [self._word(word, names) for word in words]

    @staticmethod
    def _word(word: str, names: Mapping[str, str]) -> str:
        if word in names:
            return names[word]
        for name, value in names.items():
            if len(name) >= _DISTINCT:
                word = word.replace(name, value)
        return word.replace("~/", "./")


def make_page_home(folder: Path) -> PageHome:
    """Make the home by commands where they are quick, and by the ledger's functions else."""
    squire = Squire(folder / "home")
    squire.config(SETTINGS)
    ledger = new_sqlite_ledger(squire.home / "ledger.sqlite")
    samples = SampleData(ledger)
    tasks = {
        "tasks approve": samples.task("Approve it", approved=False, repository=OWN),
        "tasks reject": samples.task("Reject it", approved=False, repository=OWN),
        "tasks retry": samples.ended(Cause.POLICY_REJECTED, "Retry the release"),
        "tasks followup": samples.ended(Cause.COMPLETED, "Follow the parser up"),
    }
    tasks["tasks watch"] = tasks["tasks followup"]
    running = samples.running("Run the linter")
    keep = squire.home / "attempts" / running.id / "keep"
    keep.mkdir(parents=True)
    entry = ModelText(at=datetime(2026, 3, 1, tzinfo=UTC), text="done")
    (keep / TRANSCRIPT).write_text(dump(entry) + "\n", encoding="utf-8")
    (squire.home / "attempts" / running.id / "agent.log").write_text("a line\n", encoding="utf-8")
    plan_id, (ready,) = samples.plan(spec("Document the command"), repository=OWN)
    tasks |= dict.fromkeys(("tasks cancel", "tasks start", "tasks priority", "tasks new"), ready)
    tasks |= dict.fromkeys(("tasks logs", "agents transcript", "tasks show"), running.task_id)
    _read_signals(ledger)
    with ledger.write() as tx:
        outcomes.record_opened(
            tx,
            task_id=ready,
            repository="acme/api",
            pr_number=7,
            pr_url="https://github.com/acme/api/pull/7",
            head_sha="e" * 40,
        )
    guid = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    delivery = record_delivery(
        ledger,
        source="github",
        delivery_id=guid,
        event="issues",
        action="opened",
        repository=OWN,
        body=json.dumps({"action": "opened", "repository": {"full_name": OWN}}).encode(),
    )
    publish_warehouse(ledger, squire.home / "warehouse.duckdb", WarehouseSettings(memory_limit=256 * 2**20))
    ledger.close()
    schedule = squire.json("tasks", "new", OWN, "Update the dependencies.", "--every", "0 3 * * 1")["id"]
    paused = squire.json("tasks", "new", OWN, "Remove the flag.", "--every", "@daily")["id"]
    squire.ok("schedules", "pause", paused)
    silence = next(
        word for word in squire.ok("alerts", "silence", "engine_lost", "--for", "2h").split() if "si" in word
    )
    version = squire.json("signals", "show", "open_issue:12")["text_version"]
    digest = squire.json("audit", "head")["digest"]
    _write_files(folder / "typed", squire)
    store = cheap_store(squire.home / "secrets.sealed")
    store.create(passphrase())
    secrets = dict.fromkeys(("github-token", "webhook-secret"), "s3cret-of-the-home")
    store.change(lambda values: values.update(secrets))
    (squire.home / "secrets").mkdir(mode=0o700)
    plain = squire.home / "secrets" / "github-token"
    plain.write_text("s3cret-of-a-file", encoding="utf-8")
    plain.chmod(0o600)
    for part in ("home", "typed"):
        shutil.copytree(folder / part, folder / f"{part}.made")
    typed = folder / "typed"
    names = {
        "p0m1e2x3a4m5p6l": plan_id,
        "si0m1e2x3a4m5p6l": silence,
        "s0m1e2x3a4m5p6l": schedule,
        "4bf92f": TRACE[:6],
        "3f9c0d5a7be14c2f8a60d1b2c3e4f506": version,
        "DIGEST": digest,
        "/mnt/backups/squire-20260301T031700Z.tar.gz": str(typed / "squire-20260301T031700Z.tar.gz"),
        "/mnt/backups": str(typed / "backups"),
        "/srv/squire": str(typed / "empty"),
        "$(date -d 'tomorrow 08:00' -Iseconds)": f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT08:00:00+00:00}",
        "$(cat advisory.txt)": "an advisory",
    }
    return PageHome(folder, {**names, "17": str(delivery.id), "paused": paused}, tasks)


def _copy(source: str, target: str) -> str:
    """Copy a file; the warehouse is never written, but replaced, so that one more name of it will do."""
    if source.endswith(".duckdb"):
        os.link(source, target)
        return target
    return shutil.copy2(source, target)


def _read_signals(ledger: Ledger) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for source, signal in ((Source.OPEN_ISSUES, issue(12)), (Source.REVIEW_FINDINGS, finding("T1"))):
        read = signal.model_copy(update={"repository": OWN})
        reading = Collection(
            repository=OWN,
            source=source,
            status=CollectionStatus.FRESH,
            started_at=at,
            ended_at=at,
            signals=(read,),
        )
        with ledger.write() as tx:
            collections.record(tx, reading, trace_id=TRACE, run_id=None)


def _write_files(folder: Path, squire: Squire) -> None:
    """Write the files that the pages name, in the folder in which commands are typed."""
    for name in ("backups", "prompts", "steward", "empty"):
        (folder / name).mkdir(parents=True)
    texts = {
        "request.md": "Drop Python 3.9\n\nRemove the code for it.\n",
        "remarks.md": "Add a test.\n",
        "question.sql": "FROM tasks LIMIT 3",
        "new.toml": SETTINGS,
        "filters.toml": SETTINGS,
        "other.toml": SETTINGS,
        "squire.toml": SETTINGS,
        ".squire/tasks/one.json": json.dumps(_OLD_TASK),
        "steward-state.json": json.dumps({"lastRun": "2026-02-01T12:00:00Z", "tasks": []}),
        ".github/squire.toml": "[policy]\nmax_changed_lines = 100\n",
        ".github/squire/templates/release.md": "---\ntitle: Release\ndescription: Prepare a release.\n---\nDo it.\n",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    squire.ok("tasks", "export", str(folder / "tasks.jsonl"))
    squire.ok("audit", "export", "--out", str(folder / "audit.jsonl"))
    squire.ok("backup", "make", str(folder / "squire-20260301T031700Z.tar.gz"))
    squire.ok("ledger", "backup", str(folder / "ledger-2026-03-01.sqlite"))
