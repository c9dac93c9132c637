"""What requests ask the ledger for, in a few threads: never for longer than a caller waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.errors import LedgerError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.webhooks.limits import COME_AGAIN, Limits, RequestRefusedError, busy

THREAD_PREFIX = "receiver-ledger"
"""How the names of the threads begin that are in the ledger for a request."""

_ResultT = TypeVar("_ResultT")
_log = get_logger(Component.WEBHOOKS)


class LedgerThreads:
    """A pool of threads for what blocks, with as many calls waiting as the limits say."""

    def __init__(self, limits: Limits) -> None:
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix=THREAD_PREFIX)
        self._most_waiting = limits.waiting
        self._waiting = 0

    async def call(
        self,
        call: Callable[[], _ResultT],
        timeout_s: float,
        *,
        too_slow: Callable[[float], RequestRefusedError] | None = None,
    ) -> _ResultT:
        """Run a blocking call. Raises RequestRefusedError: whatever goes wrong, the caller is told to come again.

        `too_slow` makes the refusal of a call that does not end in time; by default the ledger is what is slow.
        """
        if self._waiting >= self._most_waiting:
            raise busy("too many deliveries at once", retry_after_s=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except (LedgerError, SQLAlchemyError) as error:
            raise ledger_failed(error) from error
        except TimeoutError:
            raise (too_slow or ledger_slow)(timeout_s) from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads; not waiting for one that the ledger keeps, whose request was never acknowledged."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def ledger_failed(error: Exception) -> RequestRefusedError:
    """Log that the ledger refused or did not answer, and return what its caller gets."""
    _log.error("the ledger failed", reason=str(error))
    return busy("the ledger does not answer")


def ledger_slow(timeout_s: float) -> RequestRefusedError:
    """Log that the ledger did not answer in time, and return what its caller gets."""
    # The call may still commit: then a redelivery is found to be a duplicate, and nothing is lost.
    _log.error("the ledger is slow", timeout_s=timeout_s)
    return busy(f"the ledger did not answer within {timeout_s:g} s")


def reading_slow(timeout_s: float) -> RequestRefusedError:
    """Log that a body took too long to verify and to read, and return what its caller gets."""
    _log.error("a body is slow to read", timeout_s=timeout_s)
    message = f"the body could not be verified and read within {timeout_s:g} s"
    return RequestRefusedError(503, message, f"{COME_AGAIN}; see webhooks.max_body", retry_after_s=5)


def answer_slow(timeout_s: float) -> RequestRefusedError:
    """Log that a request was not done with in time, and return what its caller gets."""
    _log.error("a request is slow", timeout_s=timeout_s)
    return busy(f"the delivery was not read and stored within {timeout_s:g} s")
