"""Opt-in: one whole cycle against a real repository of GitHub's, named by the user, with their token.

`SQUIRE_TEST_REPOSITORY=owner/name SQUIRE_GITHUB_TOKEN=… make test-github`. It opens an issue's worth of work as a
manual task, has a harmless command do it, opens a draft-free pull request, and closes it again with its branch.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.settings.model import Settings

REPOSITORY = os.environ.get("SQUIRE_TEST_REPOSITORY", "")
TOKEN = next(
    (os.environ[name] for name in ("SQUIRE_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN") if name in os.environ), ""
)

pytestmark = [
    pytest.mark.github,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not (REPOSITORY and TOKEN), reason="set SQUIRE_TEST_REPOSITORY=owner/name and SQUIRE_GITHUB_TOKEN"
    ),
]


def squire(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SQUIRE_HOME": str(home), "SQUIRE_GITHUB_TOKEN": TOKEN}
    return subprocess.run(
        [sys.executable, "-m", "squire_pipelines.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def test_a_manual_task_becomes_a_pull_request_on_github(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        f'repositories = ["{REPOSITORY}"]\n'
        '[planner]\nkind = "rules"\nissue_labels = []\n'
        '[agent]\nkind = "command"\nrunner = "local"\n'
        'command = ["sh", "-c", "date -u > squire-test.txt"]\n'
    )
    asyncio.run(_readable())
    made = squire(home, "tasks", "new", REPOSITORY, "--title", "Squire's own test", "--prompt", "Write a file.")
    assert made.returncode == 0, made.stderr
    done = squire(home, "run", REPOSITORY, "--json", "--timeout", "700")
    rows = [row for row in json.loads(done.stdout)["tasks"] if row["title"] == "Squire's own test"]
    try:
        assert [row["cause"] for row in rows] == ["completed"], done.stderr
        assert rows[0]["pr_url"].startswith("https://github.com/")
    finally:
        for row in rows:
            _close(row["pr_number"])


async def _readable() -> None:
    settings = Settings()
    async with GitHubClient(settings.github, TOKEN) as client:
        info = await repository_info(client, REPOSITORY)
    assert not info.archived
    assert not info.is_empty


def _close(number: int | None) -> None:
    if number is None:
        return
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/vnd.github+json"}
    with httpx.Client(base_url="https://api.github.com", headers=headers, timeout=30) as client:
        pull = client.patch(f"/repos/{REPOSITORY}/pulls/{number}", json={"state": "closed"}).raise_for_status().json()
        client.delete(f"/repos/{REPOSITORY}/git/refs/heads/{pull['head']['ref']}").raise_for_status()
