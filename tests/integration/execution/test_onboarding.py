"""A repository is asked by a pull request, and nothing is started in it before its people say yes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.ledger import deliveries, onboardings
from squire_pipelines.ledger.tables import audit
from squire_pipelines.sensors.dispatch import dispatch
from tests.support.cli import Squire
from tests.support.forked import ForkedForge
from tests.support.ledgers import add_task
from tests.support.pipeline import LEDGERLIB, QUIET, TRACE, Pipeline

FILE = ".github/squire.toml"


def look(pipeline: Pipeline, *names: str) -> None:
    with pipeline.ledger.write() as tx:
        asked = deliveries.request_collection(tx, names, source=DeliverySource.COMMAND, trace_id=TRACE)
    pipeline.collect(*names, fresh=False, deliveries=asked)


def call(forge: ForgeProcess, method: str, path: str, **content: Any) -> Any:
    url = f"{forge.url}/api/v3/repos/{path}"
    answer = httpx.request(method, url, headers={"authorization": f"Bearer {forge.token}"}, json=content or None)
    assert answer.is_success, answer.text
    return answer.json()


def pulls_of(forge: ForgeProcess, repository: str) -> list[Any]:
    owner = repository.partition("/")[0]
    return list(call(forge, "GET", f"{repository}/pulls?state=all&head={owner}:squire/onboarding"))


@pytest.fixture
def forge(forge_home: Path, hosted_home: Path) -> Iterator[ForgeProcess]:
    """A forge that merges nothing by itself."""
    shutil.copytree(hosted_home, forge_home)
    with ForkedForge.start(forge_home, merge_prefix=None) as running:
        yield running


@pytest.fixture
def squire(pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch) -> Squire:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    return Squire(pipeline.home)


@pytest.mark.slow
def test_nothing_is_started_before_the_pull_request_is_merged(
    pipeline: Pipeline, forge: ForgeProcess, squire: Squire
) -> None:
    output = squire.ok("init", "--pull-request", LEDGERLIB.upper())
    (pull,) = pulls_of(forge, LEDGERLIB)
    assert pull["html_url"] in output
    assert "Nothing is started in this repository before it is merged." in output
    assert "### What would be planned now" in pull["body"]
    assert "fix_ci" in pull["body"]
    assert f"{pull['html_url']} is open already" in squire.ok("init", "--pull-request", LEDGERLIB)
    assert len(pulls_of(forge, LEDGERLIB)) == 1
    task_id = add_task(pipeline.ledger, repository=LEDGERLIB)
    look(pipeline, LEDGERLIB)
    assert "its onboarding pull request is not merged yet" in (pipeline.sensor(dispatch).skip_message or "")
    assert squire.json("tasks", "show", task_id)["waiting"] == (f"its repository's people to merge {pull['html_url']}")
    assert "nothing would be started: its onboarding pull request" in squire("run", LEDGERLIB, "--dry-run").stderr
    call(forge, "PUT", f"{LEDGERLIB}/pulls/{pull['number']}/merge", merge_method="merge")
    look(pipeline, LEDGERLIB)
    assert len(pipeline.sensor(dispatch).run_requests) == 1
    with pipeline.ledger.read() as tx:
        states = tx.execute(select(audit.c.detail).where(audit.c.action == "repository.onboarding")).scalars().all()
    assert [detail["state"] for detail in states] == ["open", "open", "merged"]
    assert repository_settings(pipeline.ledger, pipeline.settings).of(LEDGERLIB).policy == pipeline.settings.policy


@pytest.mark.slow
def test_a_closed_pull_request_is_a_no_until_somebody_asks_again(
    pipeline: Pipeline, forge: ForgeProcess, squire: Squire
) -> None:
    squire.ok("init", "--pull-request", QUIET)
    (pull,) = pulls_of(forge, QUIET)
    call(forge, "PATCH", f"{QUIET}/pulls/{pull['number']}", state="closed")
    look(pipeline, QUIET)
    assert "was closed, which is a no" in repository_settings(pipeline.ledger, pipeline.settings).stopped[QUIET]
    assert "was asked and said no" in squire.fails(5, "init", "--pull-request", QUIET)
    assert len(pulls_of(forge, QUIET)) == 1
    assert "opened " in squire.ok("init", "--pull-request", QUIET, "--again")
    assert sorted(pull["state"] for pull in pulls_of(forge, QUIET)) == ["closed", "open"]
    with pipeline.ledger.read() as tx:
        onboarding = onboardings.get(tx, QUIET)
    assert onboarding is not None
    assert onboarding.pr_number == max(pull["number"] for pull in pulls_of(forge, QUIET))


@pytest.mark.slow
def test_a_question_that_was_cut_off_stops_the_repository_and_is_asked_to_its_end(
    pipeline: Pipeline, forge: ForgeProcess, squire: Squire
) -> None:
    forge.add_fault(rf"POST /api/v3/repos/{QUIET}/pulls$", status=403, times=1)
    assert squire("init", "--pull-request", QUIET).exit_code != 0
    assert pulls_of(forge, QUIET) == []
    assert (
        "is not merged yet: is being opened" in repository_settings(pipeline.ledger, pipeline.settings).stopped[QUIET]
    )
    squire.ok("init", "--pull-request", QUIET)
    assert len(pulls_of(forge, QUIET)) == 1


def test_again_without_a_repository_is_an_error_of_use(squire: Squire) -> None:
    assert "--again belongs to --pull-request" in squire.fails(2, "init", "--again")
