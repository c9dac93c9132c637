import pytest

from squire_pipelines.domain.requests import github_actor, is_operator, requester_of


@pytest.mark.parametrize(
    ("actor", "person"),
    [
        ("cli:ann", "ann"),
        ("board:ann", "ann"),
        ("dagster:ann", "ann"),
        (github_actor("ann"), "ann"),
        ("file:a.md", "a.md"),
        ("planner:rules", None),
        ("import", None),
        ("", None),
    ],
)
def test_a_requester_is_a_person_and_no_part_of_squire(actor: str, person: str | None) -> None:
    assert requester_of(actor) == person


def test_who_runs_squire_is_at_a_terminal_on_the_board_or_in_dagster() -> None:
    assert all(map(is_operator, ("cli:ann", "board:ann", "dagster:ann")))
    assert not any(map(is_operator, (github_actor("ann"), "file:a.md", "recovery")))
