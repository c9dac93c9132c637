import pytest

from squire_pipelines.domain.requests import github_actor, requester_of


@pytest.mark.parametrize(
    ("actor", "person"),
    [
        ("cli:ann", "ann"),
        (github_actor("ann"), "ann"),
        ("file:a.md", "a.md"),
        ("planner:rules", None),
        ("import", None),
        ("", None),
    ],
)
def test_a_requester_is_a_person_and_no_part_of_squire(actor: str, person: str | None) -> None:
    assert requester_of(actor) == person
