"""Which of several providers is asked first, and in which order the others follow. Pure.

By weights, the order is drawn from the attempt's id: the same for all calls of an attempt, so that a provider's cache
of the prompt is of use, and spread over many attempts as the weights say.
"""

import hashlib
import math
from collections.abc import Mapping

MAX_WEIGHT = 1000
ProviderChoice = str | tuple[str, ...] | dict[str, int]
"""One provider, several in their order, or several by weight."""


def names_of(choice: ProviderChoice | None) -> tuple[str, ...]:
    """Return the names in a choice, as they are written."""
    if choice is None:
        return ()
    return (choice,) if isinstance(choice, str) else tuple(choice)


def order_providers(choice: ProviderChoice | None, attempt_id: str | None = None) -> tuple[str, ...]:
    """Return the names in the order in which they are asked.

    Args:
        choice: As the settings have it.
        attempt_id: Whose order; None for that of no attempt: the greatest weight first.
    """
    if not isinstance(choice, dict):
        return names_of(choice)
    if attempt_id is None:
        return tuple(sorted(choice, key=lambda name: -choice[name]))
    return tuple(sorted(choice, key=lambda name: _rank(name, choice, attempt_id)))


def _rank(name: str, weights: Mapping[str, int], attempt_id: str) -> float:
    """Return a number of which that of a name is the least as often as its weight says.

    Efraimidis and Spirakis: the logarithm of an even number, divided by the weight
    (https://doi.org/10.1016/j.ipl.2005.11.003).
    """
    digest = hashlib.sha256(f"{attempt_id}\0{name}".encode()).digest()
    even = (int.from_bytes(digest[:8]) + 1) / (2**64 + 1)
    return -math.log(even) / weights[name]
