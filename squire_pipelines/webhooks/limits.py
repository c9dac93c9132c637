"""What the receiver spends on its callers, and the answers to requests that are refused."""

import math
from dataclasses import dataclass

from starlette.responses import JSONResponse

from squire_pipelines.ledger.inbox import MAX_BATCH

COME_AGAIN = "deliver it again later"

_TOO_MANY, _NO_ANSWER = 429, 503


@dataclass(frozen=True, slots=True)
class Limits:
    """What the receiver spends on its callers.

    GitHub waits ten seconds for an answer (https://docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks),
    so all steps together have less (`answer_timeout_s`), and each has a bound of its own. `buffered` is what all
    unfinished bodies together may take. Refusals are counted, and recorded every `refusals_every_s`: a flood of them
    must not become a flood of rows. Bodies above `inline_body` are verified and read by a thread, so that others do not
    wait for them.
    """

    body: int = 25 * 2**20
    buffered: int = 100 * 2**20
    inline_body: int = 2**18
    body_timeout_s: float = 4.0
    ledger_timeout_s: float = 3.0
    answer_timeout_s: float = 8.0
    ready_timeout_s: float = 2.0
    refusals_every_s: float = 60.0
    threads: int = 2
    waiting: int = 512
    batch: int = MAX_BATCH
    batch_bytes: int = 2**22


class RequestRefusedError(Exception):
    """A request that is answered with an error; nothing was stored.

    Args:
        status: Of the answer.
        message: What is wrong.
        hint: What to do about it.
        reason: By which refusals are counted, in words of ours; by default the message.
        retry_after_s: After what time the same request may be made again; None where it would be refused again.
        closes: Whether the connection ends with the answer: what comes later would be taken for the next request.
    """

    def __init__(
        self,
        status: int,
        message: str,
        hint: str = "",
        *,
        reason: str = "",
        retry_after_s: float | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.reason = reason or message
        self.retry_after_s = retry_after_s
        self.closes = closes

    def response(self) -> JSONResponse:
        """Return the answer."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}
        if self.closes:
            headers["Connection"] = "close"
        return JSONResponse({"error": self.message, "hint": self.hint}, status_code=self.status, headers=headers)


def busy(message: str, *, retry_after_s: float = 5.0) -> RequestRefusedError:
    """Return the refusal of what may be right, and cannot be taken now."""
    return RequestRefusedError(_NO_ANSWER, message, COME_AGAIN, retry_after_s=retry_after_s)


def too_many_refusals(wait_s: float) -> RequestRefusedError:
    """Return the refusal of a caller whose requests were refused too often."""
    hint = "correct what the other refusals name; see webhooks.refusals_per_address"
    return RequestRefusedError(_TOO_MANY, "too many requests of this address were refused", hint, retry_after_s=wait_s)
