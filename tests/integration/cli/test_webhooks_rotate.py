"""`squire webhooks rotate` against the forge and a receiver: no delivery is refused, and each step may be repeated."""

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.runtime.ports import free_port
from tests.support.cli import Squire
from tests.support.deliveries import SECRET, ReceiverProcess
from tests.support.forge import hosted_home, samples
from tests.support.forked import ForkedForge
from tests.support.ledgers import sqlite_ledger_file

__all__ = ["hosted_home", "samples"]
REPOSITORY, OTHER = "demo/handbook", "demo/quiet"
MOST_DELIVERIES, PAUSE_S = 60, 0.05


@pytest.fixture
def forge(
    tmp_path: Path, hosted_home: Path, squire: Squire, store_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ForgeProcess]:
    """A forge whose webhooks lead to a receiver of a home that keeps the secret in the encrypted file."""
    port = free_port()
    shutil.copytree(hosted_home, tmp_path / "forge")
    squire.ok("secrets", "set", "webhook-secret", stdin=SECRET.decode())
    sqlite_ledger_file(squire.home / "ledger.sqlite")
    environment = ReceiverProcess.environment(
        squire.home,
        SQUIRE_WEBHOOKS__PORT=str(port),
        SQUIRE_REPOSITORIES=f'["{REPOSITORY}", "{OTHER}"]',
        SQUIRE_SECRETS_PASSPHRASE_FILE=str(store_file.parent.parent / "passphrase"),
    )
    del environment["SQUIRE_WEBHOOK_SECRET"]
    receiver = ReceiverProcess.of(environment)
    url = f"http://127.0.0.1:{port}/webhooks/github"
    with ForkedForge.start(tmp_path / "forge", webhook_url=url, webhook_secret=SECRET.decode()) as running:
        squire.config(
            f'repositories = ["{REPOSITORY}", "{OTHER}"]\n[github]\napi_url = "{running.api_url}"\n'
            f"min_write_interval_s = 0\n[webhooks]\nport = {port}\n"
        )
        monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", running.token)
        yield running
    receiver.end()


@pytest.fixture
def api(forge: ForgeProcess) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {forge.token}"}
    with httpx.Client(base_url=forge.api_url, headers=headers, trust_env=False) as client:
        yield client


def present(squire: Squire) -> str:
    return squire.ok("secrets", "get", "webhook-secret", "--reveal").strip()


def answers(forge: ForgeProcess) -> set[int]:
    """How the receiver has answered all deliveries about the two repositories."""
    return {one["status_code"] for one in forge.settle()["deliveries"] if one["repository"] in {REPOSITORY, OTHER}}


def test_a_secret_is_rotated_while_deliveries_come_and_none_is_refused(
    squire: Squire, forge: ForgeProcess, api: httpx.Client
) -> None:
    is_over = threading.Event()

    def stream() -> None:
        for _ in range(MOST_DELIVERIES):  # more than a busy machine has sent in time would keep the forge from its end
            if is_over.wait(PAUSE_S):
                return
            api.post(f"/repos/{REPOSITORY}/issues", json={"title": "Broken"}).raise_for_status()

    assert "A new one would be made" in squire.ok("webhooks", "rotate", "--dry-run")
    plan = squire.json("webhooks", "rotate", "--dry-run")
    assert plan["goes_on"] is False
    assert plan["hooks"] == [{"hook": name, "webhook": 1} for name in (REPOSITORY, OTHER)]
    assert present(squire) == SECRET.decode()
    sender = threading.Thread(target=stream)
    sender.start()
    try:
        output = squire.ok("webhooks", "rotate")
    finally:
        is_over.set()
        sender.join()
    new = present(squire)
    assert re.fullmatch("[0-9a-f]{64}", new)
    assert new not in output
    for name in (REPOSITORY, OTHER):
        assert f"{name}: GitHub has the new secret, and a ping signed with it has arrived." in output
    assert answers(forge) == {202}
    refused = squire.fails(5, "webhooks", "rotate", "--finish")
    assert "it is kept until" in refused
    assert "hint: run the command again then" in refused
    again = squire.json("webhooks", "rotate")
    assert again["goes_on"], "and makes no third secret"
    assert [(one["hook"], one["is_set"], one["page"]) for one in again["hooks"]] == [
        (REPOSITORY, True, None),
        (OTHER, True, None),
    ]
    assert new not in str(again)
    assert present(squire) == new
    finished = squire.json("webhooks", "rotate", "--finish", "--keep-old", "0s")
    assert finished == {
        "is_dry_run": False,
        "old_was_in": "encrypted file",
        "removed_from": ["encrypted file"],
        "problem": None,
        "still_taken_by": [],
    }
    assert "no rotation is under way" in squire.ok("webhooks", "rotate", "--finish")
    api.post(f"/repos/{OTHER}/issues", json={"title": "Broken"}).raise_for_status()
    assert answers(forge) == {202}
    done = [row["action"] for row in squire.json("audit", "list", "--action", "webhooks.*")]
    assert done[0] == "webhooks.rotation_finished"
    assert done[-1] == "webhooks.rotation_begun"
    assert done.count("webhooks.secret_set") == 4


def test_where_the_token_may_not_the_page_is_named_and_the_old_secret_stays_while_github_signs_with_it(
    squire: Squire, forge: ForgeProcess, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the first step had been done, and then the process killed.
    squire.ok("secrets", "set", "webhook-secret-old", stdin=SECRET.decode())
    forge.add_fault(f"^PATCH /api/v3/repos/{OTHER}/hooks/1/config$", status=403)
    result = squire("webhooks", "rotate", "--keep-old", "0s")
    new = present(squire)
    assert (result.exit_code, new in result.output, new == SECRET.decode()) == (1, False, False)
    assert f"{OTHER}: the token may not change the webhook" in result.stderr
    assert f"{forge.url}/{OTHER}/settings/hooks" in result.stderr
    api.post(f"/repos/{OTHER}/issues", json={"title": "Broken"}).raise_for_status()
    assert answers(forge) == {202}, "the receiver takes both"
    refused = squire.fails(5, "webhooks", "rotate", "--finish")
    assert f"GitHub still signs with it: the newest delivery about {OTHER}" in refused

    shown = squire.ok("webhooks", "rotate", "--repository", OTHER, "--show")
    assert shown.rstrip().endswith(new)
    assert f"{REPOSITORY}: left out; --repository names others." in shown
    assert "is finished" in squire.ok("webhooks", "rotate", "--finish", "--keep-old", "0s")

    api.patch(f"/repos/{REPOSITORY}/hooks/1", json={"active": False}).raise_for_status()
    api.delete(f"/repos/{OTHER}/hooks/1").raise_for_status()
    assert squire.json("webhooks", "rotate", "--dry-run")["left_out"] == {OTHER: "no webhook leads to Squire"}
    shown = squire.ok("webhooks", "rotate")
    assert f"{OTHER}: left out; no webhook leads to Squire." in shown
    assert f"{REPOSITORY}: GitHub has the new secret; the webhook is switched off" in " ".join(shown.split())
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "of-the-environment")
    by_hand = squire.fails(3, "webhooks", "rotate")
    assert "environment variable SQUIRE_WEBHOOK_SECRET" in by_hand
    assert "SQUIRE_WEBHOOK_SECRET_OLD" in by_hand


@pytest.mark.usefixtures("store_file")
def test_where_no_receiver_of_the_home_runs_and_others_may_nothing_is_changed(squire: Squire) -> None:
    squire.ok("secrets", "set", "webhook-secret", stdin=SECRET.decode())
    squire.config(f'repositories = ["{REPOSITORY}"]\nledger_url = "postgresql://127.0.0.1:9/squire"\n')
    refused = squire.fails(5, "webhooks", "rotate")
    assert "one elsewhere would refuse the new secret; nothing was changed" in " ".join(refused.split())
    assert present(squire) == SECRET.decode()
    for words, reason in (
        ("--show --json", "choose one"),
        ("--show --finish", "neither --finish nor --dry-run makes one"),
        ("--finish --repository demo/quiet", "leave out --repository"),
    ):
        assert reason in " ".join(squire.fails(2, "webhooks", "rotate", *words.split()).split())
    squire.config(f'repositories = ["{REPOSITORY}"]\n[webhooks.secrets]\n"{REPOSITORY}" = ["shop-key"]\n')
    refused = squire.fails(5, "webhooks", "rotate", "--repository", REPOSITORY)
    assert f"{REPOSITORY}: the webhook has a secret of its own" in " ".join(refused.split())
    squire.config(f'repositories = ["{REPOSITORY}"]\n[github]\napp_id = "7"\n')
    refused = " ".join(squire.fails(5, "webhooks", "rotate", "--repository", REPOSITORY).split())
    assert "the GitHub App's webhook is the one of all repositories" in refused
    assert "hint: leave out --repository" in refused
