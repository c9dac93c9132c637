"""Who asked for a task in their own words: a person at a terminal, or on GitHub. Pure."""

_PEOPLE = ("cli:", "github:")
"""What the names of people begin with in a task's history, by where they speak; others are parts of Squire."""


def github_actor(login: str) -> str:
    """Return how a task's history and the audit trail name a person on GitHub."""
    return f"github:{login}"


def requester_of(actor: str) -> str | None:
    """Return the person who asked for a task, by who made it in its history; None where a planner did."""
    return next((actor.removeprefix(prefix) for prefix in _PEOPLE if actor.startswith(prefix)), None)
