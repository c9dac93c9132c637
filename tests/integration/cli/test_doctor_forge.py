"""`squire doctor` against the forge, as after a demo: nothing fails, and a ping through the webhook arrives."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.cli.doctor import webhook as doctor_webhook
from squire_pipelines.health.process_records import process_start_time
from squire_pipelines.runtime.ports import free_port
from tests.support.cli import Squire
from tests.support.deliveries import SECRET, ReceiverProcess
from tests.support.forge import hosted_home, samples
from tests.support.forked import ForkedForge
from tests.support.ledgers import sqlite_ledger_file

__all__ = ["hosted_home", "samples"]
REPOSITORY = "demo/ledgerlib"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def forge(tmp_path: Path, hosted_home: Path, port: int) -> Iterator[ForgeProcess]:
    home = tmp_path / "forge"
    shutil.copytree(hosted_home, home)
    url = f"http://127.0.0.1:{port}/webhooks/github"
    with ForkedForge.start(home, webhook_url=url, webhook_secret=SECRET.decode()) as running:
        yield running


def doctor(squire: Squire) -> dict[str, dict[str, str]]:
    result = squire("doctor", "--json")
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.mark.slow
def test_all_is_well_with_the_forge_and_a_ping_arrives_unless_the_secret_is_another(
    squire: Squire, forge: ForgeProcess, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    squire.config(
        f'repositories = ["{REPOSITORY}"]\n[github]\napi_url = "{forge.api_url}"\nmin_write_interval_s = 0\n'
        f'[agent]\nkind = "command"\ncommand = ["true"]\nrunner = "local"\n[webhooks]\nport = {port}\n'
        f"[pipeline]\nwebserver_port = {free_port()}\n[observability]\nport = 0\n"
        "[follow.merge]\nenabled = true\n"
    )
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", SECRET.decode())
    sqlite_ledger_file(squire.home / "ledger.sqlite")
    rows = doctor(squire)
    assert {name: row["message"] for name, row in rows.items() if row["status"] == "fail"} == {}
    assert rows[f"github {REPOSITORY}"]["status"] == "ok"
    assert rows[f"rules {REPOSITORY}"]["message"] == "no ruleset or branch protection refuses Squire's branches"
    assert rows["clock"]["status"] == "ok"
    assert rows[f"merging {REPOSITORY}"]["message"] == "merges by squash; the token may merge"
    assert "not pinged: no receiver runs here" in rows["webhook"]["message"]

    receiver = ReceiverProcess.start(squire.home, SQUIRE_WEBHOOKS__PORT=str(port), SQUIRE_REPOSITORIES="[]")
    try:
        record = squire.home / "run" / "receiver.pid"
        record.parent.mkdir(exist_ok=True)
        record.write_text(json.dumps({"pid": receiver.pid, "birth": process_start_time(receiver.pid)}))
        rows = doctor(squire)
        assert rows["webhook"]["status"] == "ok", rows["webhook"]
        assert "a ping through" in rows["webhook"]["message"]
        assert "a webhook receiver of Squire's" in rows["port webhooks"]["message"]
    finally:
        receiver.end()

    stranger = ReceiverProcess.start(
        squire.home, SQUIRE_WEBHOOKS__PORT=str(port), SQUIRE_WEBHOOK_SECRET="of-another", SQUIRE_REPOSITORIES="[]"
    )
    try:
        monkeypatch.setattr(doctor_webhook, "PING_TIMEOUT_S", 2.0)
        webhook = doctor(squire)["webhook"]
    finally:
        stranger.end()
    assert (webhook["status"], "401" in webhook["message"]) == ("fail", True)
    assert "squire secrets get webhook-secret --reveal" in webhook["next_step"]
