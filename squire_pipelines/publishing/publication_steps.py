"""The steps of a publication, by which its callers follow it."""

from collections.abc import Callable
from enum import StrEnum


class PublicationStep(StrEnum):
    """How far a publication has come. `pushing` comes before the push, so that the head can be recorded first."""

    VERIFIED = "verified"
    JUDGED = "judged"
    PUSHING = "pushing"
    PUSHED = "pushed"
    OPENED = "opened"
    LABELLED = "labelled"
    DONE = "done"


OnStep = Callable[[PublicationStep, str], None]
"""Called after each step (before `pushing`) with the head's sha, the decision's name, or the pull request's URL.

The head of `verified` is the agent's, that of the others the published commit's.
"""
