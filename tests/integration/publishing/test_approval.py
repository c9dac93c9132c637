"""Letting a held pull request pass, on the demo's stand-in for GitHub with the real client."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.publishing.approval import ApprovalOutcome, settle_approval
from squire_pipelines.sections.services import GitHubSettings
from tests.support.forked import ForkedForge
from tests.support.git_repository import Checkout, git

REPOSITORY = "acme/app"
LABEL = "squire:needs-approval"


@pytest.fixture
def forge(tmp_path: Path, upstream: Path) -> Any:
    """A forge with one labelled draft, #1."""
    agent = Checkout(tmp_path / "agent", upstream)
    agent.git("checkout", "--quiet", "-b", "squire/t1")
    agent.write("Dockerfile", "FROM scratch\n")
    agent.commit()
    agent.git("push", "--quiet", "origin", "squire/t1")
    with ForkedForge.start(tmp_path / "forge", merge_prefix=None) as forge:
        forge.host_repository({"owner": "acme", "name": "app", "path": str(upstream), "default_branch": "main"})
        run(forge, lambda client: pulls.create_pull_request(client, REPOSITORY, title="T", body="", head="squire/t1",
                                                            base="main", draft=True))  # fmt: skip
        run(forge, lambda client: pulls.add_labels(client, REPOSITORY, 1, [LABEL]))
        yield forge


def run(forge: ForgeProcess, act: Any) -> Any:
    async def go() -> Any:
        async with GitHubClient(
            GitHubSettings(api_url=forge.api_url, min_write_interval_s=0), forge.token, attempts=1
        ) as client:
            return await act(client)

    return asyncio.run(go())


def settle(forge: ForgeProcess) -> ApprovalOutcome:
    outcome: ApprovalOutcome = run(forge, lambda client: settle_approval(client, REPOSITORY, 1, LABEL))
    return outcome


def pull(forge: ForgeProcess) -> dict[str, Any]:
    document: dict[str, Any] = forge.state()["repositories"][0]["pull_requests"][0]
    return document


def test_nobody_did_anything_so_it_stays_held(forge: ForgeProcess) -> None:
    assert settle(forge) == ApprovalOutcome()
    assert (pull(forge)["draft"], pull(forge)["labels"], pull(forge)["comments"]) == (True, [LABEL], [])


@pytest.mark.parametrize("permission", ["write", "admin"])
def test_a_permitted_person_lets_it_pass_by_taking_the_label_off(forge: ForgeProcess, permission: str) -> None:
    forge.act_as(REPOSITORY, "mara", permission=permission, number=1, remove_label=LABEL)
    for _ in range(2):
        assert settle(forge) == ApprovalOutcome(by="mara", how="taking the label off")
    assert (pull(forge)["draft"], pull(forge)["labels"], pull(forge)["comments"]) == (False, [], [])


@pytest.mark.parametrize("permission", ["read", "none", None])
def test_anybody_else_finds_the_label_put_back_with_one_comment(forge: ForgeProcess, permission: str | None) -> None:
    forge.act_as(REPOSITORY, "stranger", permission=permission, number=1, remove_label=LABEL)
    assert settle(forge) == ApprovalOutcome(refused=("stranger",))
    assert settle(forge) == ApprovalOutcome()
    document = pull(forge)
    assert (document["draft"], document["labels"]) == (True, [LABEL])
    (comment,) = document["comments"]
    assert "`stranger` took the label" in comment
    assert "@" not in comment


def test_a_permitted_persons_approving_review_lets_it_pass(forge: ForgeProcess) -> None:
    forge.act_as(REPOSITORY, "mara", permission="write", number=1, review="APPROVED")
    assert settle(forge) == ApprovalOutcome(by="mara", how="an approving review")
    assert (pull(forge)["draft"], pull(forge)["labels"]) == (False, [])


def test_a_strangers_review_does_not(forge: ForgeProcess) -> None:
    forge.act_as(REPOSITORY, "stranger", number=1, review="APPROVED")
    assert settle(forge) == ApprovalOutcome(refused=("stranger",))
    assert (pull(forge)["draft"], pull(forge)["labels"]) == (True, [LABEL])


@pytest.mark.parametrize("later", ["CHANGES_REQUESTED", "COMMENTED"])
def test_an_approval_that_was_taken_back_does_not_count(forge: ForgeProcess, later: str) -> None:
    forge.act_as(REPOSITORY, "mara", permission="write", number=1, review="APPROVED")
    forge.act_as(REPOSITORY, "mara", number=1, review="CHANGES_REQUESTED")
    forge.act_as(REPOSITORY, "mara", number=1, review=later)
    assert settle(forge) == ApprovalOutcome()


def test_a_remark_after_an_approval_changes_nothing(forge: ForgeProcess) -> None:
    forge.act_as(REPOSITORY, "mara", permission="write", number=1, review="APPROVED")
    forge.act_as(REPOSITORY, "mara", number=1, review="COMMENTED")
    assert settle(forge).by == "mara"


def test_an_approval_of_an_earlier_head_does_not_count(forge: ForgeProcess, tmp_path: Path) -> None:
    forge.act_as(REPOSITORY, "mara", permission="write", number=1, review="APPROVED")
    agent = Checkout(tmp_path / "later", Path(_bare(forge)))
    agent.git("checkout", "--quiet", "squire/t1")
    agent.write("Dockerfile", "FROM evil\n")
    agent.commit()
    agent.git("push", "--quiet", "origin", "squire/t1")
    forge.settle()
    assert settle(forge) == ApprovalOutcome()
    assert pull(forge)["labels"] == [LABEL]


def _bare(forge: ForgeProcess) -> str:
    (repository,) = forge.home.glob("repositories/*/app.git")
    assert git(repository, "rev-parse", "--is-bare-repository") == "true"
    return str(repository)


def test_a_label_that_a_crash_left_out_is_put_on_without_a_word(forge: ForgeProcess) -> None:
    run(forge, lambda client: pulls.create_pull_request(client, REPOSITORY, title="T", body="", head="squire/t1",
                                                       base="main", draft=True))  # fmt: skip
    assert run(forge, lambda client: settle_approval(client, REPOSITORY, 1, "another-label")) == ApprovalOutcome()
    assert set(pull(forge)["labels"]) == {LABEL, "another-label"}
    assert pull(forge)["comments"] == []


def test_a_closed_pull_request_is_left_alone(forge: ForgeProcess) -> None:
    run(forge, lambda client: client.patch(f"/repos/{REPOSITORY}/pulls/1", {"state": "closed"}))
    forge.act_as(REPOSITORY, "stranger", number=1, remove_label=LABEL)
    assert settle(forge) == ApprovalOutcome()
    assert pull(forge)["labels"] == []


def test_a_draft_can_be_made_and_taken_back_however_often(forge: ForgeProcess) -> None:
    for draft in (False, False, True, True):
        run(forge, lambda client, draft=draft: pulls.set_draft(client, REPOSITORY, 1, draft=draft))
        assert pull(forge)["draft"] is draft


@pytest.mark.parametrize("act", [{"remove_label": LABEL}, {"review": "APPROVED"}])
def test_a_bot_is_never_judged_as_the_person_of_its_name(forge: ForgeProcess, act: dict[str, str]) -> None:
    # GraphQL leaves out the `[bot]`, and a person called `helper` may write: without its type, the bot would be she.
    forge.act_as(REPOSITORY, "helper", kind="Bot", permission="write", number=1, **act)
    assert settle(forge) == ApprovalOutcome(refused=("helper",))
    assert (pull(forge)["draft"], pull(forge)["labels"]) == (True, [LABEL])


@pytest.mark.parametrize(("permission", "may"), [("maintain", True), ("triage", False)])
def test_the_permission_is_judged_by_its_role(forge: ForgeProcess, permission: str, *, may: bool) -> None:
    forge.act_as(REPOSITORY, "mara", permission=permission, number=1, review="APPROVED")
    assert settle(forge).by == ("mara" if may else None)


def test_a_missing_label_is_no_error(forge: ForgeProcess) -> None:
    run(forge, lambda client: pulls.remove_label(client, REPOSITORY, 1, "not there"))
