"""Who asked for a task: a person at a terminal, on the board, in Dagster's UI, on GitHub, or in a task file. Pure."""

FILE_ACTOR = "file:"
"""What stands before the author of a task file, who may be nobody but the file."""

_OPERATORS = ("cli:", "board:", "dagster:")
"""What the names of people begin with who run Squire: at a terminal, on the board, and in Dagster's UI."""

_PEOPLE = (*_OPERATORS, "github:", FILE_ACTOR)
"""What the names of people begin with in a task's history, by where they speak; others are parts of Squire."""


def github_actor(login: str) -> str:
    """Return how a task's history and the audit trail name a person on GitHub."""
    return f"github:{login}"


def is_operator(actor: str) -> bool:
    """Return whether a person has acted who runs Squire, and not one on GitHub or a part of Squire."""
    return actor.startswith(_OPERATORS)


def requester_of(actor: str) -> str | None:
    """Return the person who asked for a task, by who made it in its history; None where a planner did."""
    return next((actor.removeprefix(prefix) for prefix in _PEOPLE if actor.startswith(prefix)), None)
