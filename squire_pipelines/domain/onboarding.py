"""Whether a repository was asked for its consent by a pull request, and what its people answered. Pure."""

from enum import StrEnum


class OnboardingState(StrEnum):
    """What became of the pull request that asks. A merged one is a yes, a closed one a no."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


def why_not_started(state: OnboardingState, url: str) -> str | None:
    """Return why nothing is started in a repository with such a pull request; None where it may."""
    match state:
        case OnboardingState.OPEN:
            return f"its onboarding pull request is not merged yet: {url}"
        case OnboardingState.CLOSED:
            return f"its onboarding pull request was closed, which is a no: {url}"
        case OnboardingState.MERGED:
            return None
