"""Deliveries that GitHub sent and that are not here: had again where that can be, and else named with the cause."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.targets import Targets
from squire_pipelines.execution.delivery_repair import RepairOptions, RepairResult, repair_deliveries
from squire_pipelines.files import lock
from squire_pipelines.github.connection import GitHub
from squire_pipelines.ledger.alert_facts import read_work
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.ledger.tables import delivery_checks
from squire_pipelines.runtime.ports import free_port
from squire_pipelines.sensors.delivery_repair import delivery_repair
from tests.support.cli import Squire
from tests.support.deliveries import SECRET, ReceiverProcess
from tests.support.forked import ForkedForge
from tests.support.pipeline import HANDBOOK, QUIET, TRACE, Pipeline, output_metadata

BOTH = (HANDBOOK, QUIET)
APP = "77"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def forge(forge_home: Path, hosted_home: Path, port: int) -> Iterator[ForgeProcess]:
    """A forge with a webhook of each repository; its first pings find no receiver, and are lost."""
    shutil.copytree(hosted_home, forge_home)
    url = f"http://127.0.0.1:{port}/webhooks/github"
    with ForkedForge.start(forge_home, webhook_url=url, webhook_secret=SECRET.decode()) as running:
        running.settle()
        yield running


@pytest.fixture
def api(forge: ForgeProcess) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {forge.token}"}
    with httpx.Client(base_url=forge.api_url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def home(quiet_pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A home of two of the forge's repositories, with the webhook's secret."""
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET.decode())
    quiet_pipeline.api_url, quiet_pipeline.repositories = forge.api_url, BOTH
    quiet_pipeline.configure()
    return quiet_pipeline


@pytest.fixture
def app_key(forge: ForgeProcess) -> str:
    """The key of a GitHub App that the forge knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forge.register_app(APP, public.decode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


Repair = Callable[..., RepairResult]


@pytest.fixture
def repair(home: Pipeline) -> Repair:
    def run(**options: Any) -> RepairResult:
        settings = home.settings
        repair_options = RepairOptions(**{"wait_s": 0.0, "is_patient": False, **options})
        github = GitHub(settings, home.ledger)
        return asyncio.run(repair_deliveries(home.ledger, settings, github, repair_options, trace_id=TRACE))

    return run


@pytest.fixture
def _receiver(home: Pipeline, port: int) -> Iterator[None]:
    """Run the receiver to which the webhooks lead."""
    names = ", ".join(f'"{name}"' for name in BOTH)
    more = {"SQUIRE_WEBHOOKS__PORT": str(port), "SQUIRE_REPOSITORIES": f"[{names}]"}
    running = ReceiverProcess.start(home.home, **more)
    yield
    running.end()


def rows(ledger: Ledger) -> list[Any]:
    with ledger.read() as tx:
        return list(tx.execute(select(delivery_checks).order_by(delivery_checks.c.id)))


def errors(result: RepairResult) -> dict[str, str]:
    return {hook.hook: hook.error for hook in result.hooks}


def open_issue(api: httpx.Client, repository: str) -> None:
    """Have one delivery sent."""
    api.post(f"/repos/{repository}/issues", json={"title": "Broken"}).raise_for_status()


@pytest.mark.usefixtures("_receiver")
def test_deliveries_that_were_lost_are_back_within_one_repair_and_their_repositories_are_read(
    home: Pipeline, forge: ForgeProcess, api: httpx.Client, repair: Repair
) -> None:
    forge.add_fault(f"^DELIVER issues {HANDBOOK}$", status=504)
    open_issue(api, HANDBOOK)
    open_issue(api, QUIET)
    forge.settle()
    seen = repair(is_dry_run=True)
    assert (seen.missing, rows(home.ledger)) == (3, []), "two pings found no receiver, and one delivery was lost"

    tick = home.tick(delivery_repair)
    done = tick.metadata
    figures = ("hooks", "missing", "failed_at_github", "asked_again", "arrived", "collections")
    assert [done[name] for name in figures] == [2, 3, 3, 3, 3, 2]
    with home.ledger.read() as tx:
        inbox = tx.execute(select(delivery_table.c.source, delivery_table.c.event, delivery_table.c.repository)).all()
    assert sorted(row.event for row in inbox if row.source == "github") == ["issues", "issues", "ping", "ping"]
    assert sorted(row.repository for row in inbox if row.source == "repair") == sorted(BOTH)
    assert {(row.hook, row.missing, row.redelivered, row.error) for row in rows(home.ledger)} == {
        (HANDBOOK, 2, 2, None),
        (QUIET, 1, 1, None),
    }
    again = Squire(home.home).json("webhooks", "repair")
    assert [(hook["hook"], hook["missing"], hook["asked_again"]) for hook in again["hooks"]] == [
        (HANDBOOK, 0, 0),
        (QUIET, 0, 0),
    ]
    assert "the next time has not come" in home.tick(delivery_repair, tick.cursor).skip_message


@pytest.mark.usefixtures("_receiver")
def test_an_app_asks_as_itself_for_the_deliveries_of_all_its_repositories(
    repair: Repair, app_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_APP_KEY", app_key)
    monkeypatch.setenv("SQUIRE_GITHUB__APP_ID", APP)
    result = repair(wait_s=10.0)
    assert (result.unseen, [hook.hook for hook in result.hooks]) == ((), ["app"])
    assert (result.missing, result.count("asked"), result.count("arrived")) == (4, 4, 4)


def test_what_keeps_deliveries_away_is_named_and_keeps_no_other_webhook_from_its_repair(
    home: Pipeline, forge: ForgeProcess, api: httpx.Client, repair: Repair
) -> None:
    forge.add_fault(f"^DELIVER .* {QUIET}$", status=401, times=9)
    open_issue(api, QUIET)
    forge.settle()
    forge.add_fault(f"^POST /api/v3/repos/{HANDBOOK}/hooks/1/deliveries/.*/attempts$", status=403)
    dry = Squire(home.home)("webhooks", "repair", "--dry-run", "--repository", QUIET, "--since", "2000-01-01").stdout
    assert "answered 401" in dry
    assert "2000" not in dry, "GitHub keeps deliveries for three days"
    first = errors(repair())
    assert "does not let the token ask for deliveries again" in first[HANDBOOK]
    assert "2 deliveries are not here" in first[QUIET], "of which one is asked for, to see whether anything arrives"
    forge.settle()
    assert "another secret" in errors(repair())[QUIET]
    assert "gets no answer" in errors(repair(only=(HANDBOOK,)))[HANDBOOK]
    Squire(home.home).fails(1, "webhooks", "repair", "--dry-run", "--repository", HANDBOOK)
    with home.ledger.read() as tx:
        facts = read_work(
            tx, BudgetLimits(), lambda _: BudgetLimits(), lambda _: QueueRules(), dict.fromkeys(BOTH, Targets())
        )
    assert {hook.hook for hook in facts.unrepaired} == {*BOTH}

    api.patch(f"/repos/{HANDBOOK}/hooks/1", json={"active": False}).raise_for_status()
    api.delete(f"/repos/{QUIET}/hooks/1").raise_for_status()
    result = repair()
    assert errors(result) == {HANDBOOK: "the webhook is switched off at GitHub"}
    assert [(hook.name, hook.reason) for hook in result.unseen] == [(QUIET, "no webhook leads to Squire")]
    assert "any more" in rows(home.ledger)[-1].error + rows(home.ledger)[-2].error
    squire = Squire(home.home)
    shown = squire.fails(1, "webhooks", "repair")
    assert f"{HANDBOOK}: the webhook is switched off at GitHub" in shown
    assert "evil/x: not among the repositories" in squire.fails(3, "webhooks", "repair", "--repository", "evil/x")
    assert f"{QUIET}: no webhook leads to Squire" in shown
    forge.add_fault("^GET /api/v3/repos/.*/hooks$", status=404, times=2)
    hidden = repair().unseen
    assert {hook.reason for hook in hidden} == {"GitHub does not show its webhooks to the token"}
    assert all("Webhooks (read and write)" in hook.hint for hook in hidden)


def test_without_a_webhook_secret_or_while_another_repair_is_under_way_nothing_is_compared_and_that_is_said(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick = quiet_pipeline.tick(delivery_repair)
    assert "there is no webhook secret" in tick.skip_message
    assert "the next time has not come" in quiet_pipeline.tick(delivery_repair, tick.cursor).skip_message
    assert output_metadata(quiet_pipeline.run("repair_deliveries"))["idle"].startswith("there is no webhook secret")
    squire = Squire(quiet_pipeline.home)
    assert "nothing was compared: there is no webhook secret" in squire.fails(3, "webhooks", "repair")
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET.decode())
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "token")
    with lock(quiet_pipeline.settings.home.run / "delivery-repair.lock"):
        answer = squire("webhooks", "repair", "--dry-run", "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["idle"]) == (5, "another repair is under way")
    assert "run the command again" in answer.stderr
