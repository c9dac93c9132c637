"""How a plan came about: which steps led to it, what they used, and when a model that failed is asked again. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pydantic import Field

from squire_pipelines.domain.frozen import FrozenModel

MAX_STEPS = 50
_GROWTH = 3
_MAX_GROWTHS = 20


class StepKind(StrEnum):
    """What was tried for a plan."""

    CONTEXT = "context"
    CACHE = "cache"
    ASK = "ask"
    PARSE = "parse"
    RULES = "rules"


_NAMES = {
    StepKind.CONTEXT: "read the code",
    StepKind.CACHE: "looked up",
    StepKind.ASK: "asked",
    StepKind.PARSE: "parsed",
    StepKind.RULES: "planned by rules",
}


class CacheState(StrEnum):
    """What is known of the answer to one question: somebody asks, it was answered, or nobody could answer."""

    ASKING = "asking"
    ANSWERED = "answered"
    FAILED = "failed"


class PlanStep(FrozenModel):
    """One step towards a plan: `taken` says whether the plan came from it or rests on it.

    `reason` says why or why not, in our own words.

    `provider` is whose model was asked, and `number` which of its answers it was, from 1; both only for `ask` and
    `parse`.
    """

    kind: StepKind
    taken: bool
    reason: str = ""
    provider: str | None = None
    number: int | None = Field(default=None, ge=1)

    def __str__(self) -> str:
        name = _NAMES[self.kind]
        number = f" ({self.number})" if self.number is not None else ""
        provider = f" {self.provider}" if self.provider is not None else ""
        result = "taken" if self.taken else "not taken"
        return f"{name}{provider}{number}: {result}" + (f": {self.reason}" if self.reason else "")


class RefusedAnswer(FrozenModel):
    """One answer of a model that could not be taken: its text, free of secrets and cut, and why.

    `number` is which of the provider's answers it was, from 1; `chars` is how long the whole text was.
    """

    provider: str
    model: str
    number: int = Field(ge=1)
    reason: str
    text: str
    chars: int = Field(ge=0)


class PlanUse(FrozenModel):
    """What all conversations about one plan used together.

    `asks` are requests that a model answered. `cost_usd` is None when a price is not known; `latency_s` is in seconds.
    `cache_hit` says that the answer to the same question was taken, and nothing was asked.
    """

    asks: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    latency_s: float = 0.0
    cache_hit: bool = False


@dataclass(frozen=True, slots=True)
class RetryWaits:
    """How long until a model that failed is asked again: `base_s` at first, thrice as long each time, up to `cap_s`."""

    base_s: float = 300
    cap_s: float = 21_600

    def after(self, failures: int) -> timedelta:
        """Return the wait after so many failures in a row, of which there is one at least."""
        return timedelta(seconds=min(self.cap_s, self.base_s * _GROWTH ** min(failures - 1, _MAX_GROWTHS)))
