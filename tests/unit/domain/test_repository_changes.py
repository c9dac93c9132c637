from dataclasses import replace

import pytest

from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.repository_changes import InstallationChange, RepositoryChange, after_change

KNOWN = KnownRepository("acme/shop", github_id=7, name="acme/shop", digest="d")


def change(action: str, *, github_id: int = 7, name: str = "acme/shop", archived: bool = False) -> RepositoryChange:
    return RepositoryChange(action, github_id, name, archived=archived, by="mara")


@pytest.mark.parametrize(
    ("delivered", "state", "words"),
    [
        (change("renamed", name="acme/store"), RepositoryState.RENAMED, "is now acme/store"),
        (change("transferred", name="other/shop"), RepositoryState.RENAMED, "is now other/shop"),
        (change("archived", archived=True), RepositoryState.ARCHIVED, "archived and read-only"),
        (change("deleted"), RepositoryState.MISSING, "deleted at GitHub by mara"),
        (change("edited", github_id=8), RepositoryState.REPLACED, "another repository than before"),
    ],
)
def test_what_happened_to_a_repository_is_its_state_and_has_it_read_afresh(
    delivered: RepositoryChange, state: RepositoryState, words: str
) -> None:
    changed = after_change(KNOWN, delivered)
    assert (changed.state, changed.digest, changed.repository) == (state, None, "acme/shop")
    assert words in (changed.message or "")


def test_what_is_undone_is_as_before() -> None:
    for there, back in (
        (change("archived", archived=True), change("unarchived")),
        (change("renamed", name="acme/store"), change("renamed")),
    ):
        assert after_change(after_change(KNOWN, there), back) == replace(KNOWN, digest=None)


def test_another_repository_that_has_the_name_takes_nothing_from_what_is_known() -> None:
    assert after_change(KNOWN, change("deleted", github_id=8)) == KNOWN
    assert after_change(KNOWN, change("edited", github_id=8)).github_id == 7


def test_what_changes_nothing_is_no_news() -> None:
    assert after_change(KNOWN, change("edited")) == KNOWN


@pytest.mark.parametrize(
    ("action", "words"), [("deleted", "uninstalled"), ("suspend", "suspended"), ("removed", "took it out of")]
)
def test_a_repository_that_the_app_lost_is_told_with_who_did_it_and_what_to_do(action: str, words: str) -> None:
    message = InstallationChange(action, "acme", by="mara").why_lost("acme/shop")
    assert f"mara {words}" in message
    assert "Install App" in message
