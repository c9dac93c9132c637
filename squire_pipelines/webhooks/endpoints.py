"""What is the same for the deliveries of every sender: bounds, floods, refusals, the inbox, and the answer.

What a request has to be, and what it says, is its sender's: `github_deliveries`, and those of other senders.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse

from squire_pipelines.errors import DeliveryError
from squire_pipelines.ledger.inbox import IncomingDelivery
from squire_pipelines.observability.logging import Component, bound_context, get_logger
from squire_pipelines.server_connections import caller_of
from squire_pipelines.webhooks.inbox import DeliveryInbox
from squire_pipelines.webhooks.ledger_threads import LedgerThreads, answer_slow
from squire_pipelines.webhooks.limits import Limits, RequestRefusedError, too_many_refusals
from squire_pipelines.webhooks.refusal_rates import RefusalRates
from squire_pipelines.webhooks.refusals import RefusalCounts
from squire_pipelines.webhooks.request_bodies import RequestBodies

_OVERLOAD = 503
NOT_WHAT_IS_SENT = "it is not what the sender sends"
_log = get_logger(Component.WEBHOOKS)


@dataclass(frozen=True, slots=True)
class ReceiverParts:
    """What all endpoints of one receiver share."""

    limits: Limits
    threads: LedgerThreads
    inbox: DeliveryInbox
    bodies: RequestBodies
    refusals: RefusalCounts
    rates: RefusalRates


class DeliveryEndpoint:
    """Takes the deliveries of one source.

    Args:
        source: Its name.
        parts: The receiver's.
        accept: Verifies a request with its raw body and returns the delivery that it is. Raises RequestRefusedError, or
            DeliveryError for a body that is not what the sender sends.
        may_be_signed: Says by a request's headers whether it can be verified at all: of an address that floods, others
            are refused without a look at their bodies.
        check: Looks at a request before its body is read. Raises RequestRefusedError.
    """

    def __init__(
        self,
        source: str,
        parts: ReceiverParts,
        *,
        accept: Callable[[Request, bytes], Awaitable[IncomingDelivery]],
        may_be_signed: Callable[[Request], bool],
        check: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._parts = parts
        self._accept = accept
        self._may_be_signed = may_be_signed
        self._check = check

    async def receive(self, request: Request) -> JSONResponse:
        """Take one delivery: 202 for a new one, 200 for one that was there."""
        address = caller_of(request.client.host) if request.client else ""
        parts = self._parts
        try:
            try:
                if (wait_s := parts.rates.wait_s(address)) and not self._may_be_signed(request):
                    raise too_many_refusals(wait_s)
                self._check(request)
                async with asyncio.timeout(parts.limits.answer_timeout_s):
                    with parts.bodies.share() as share:
                        body = await parts.bodies.read(request, share)
                        return await self._store(await self._accept(request, body))
            except TimeoutError:
                raise answer_slow(parts.limits.answer_timeout_s) from None
            except DeliveryError as error:
                raise RequestRefusedError(400, error.message, error.hint, reason=NOT_WHAT_IS_SENT) from error
        except RequestRefusedError as refused:
            return self._refuse(refused, address)

    def _refuse(self, refused: RequestRefusedError, address: str) -> JSONResponse:
        """Answer a refusal; with 429 where the address has had its share of them. Our own overload is nobody's."""
        rates = self._parts.rates
        if refused.status != _OVERLOAD:
            if wait_s := rates.wait_s(address):
                refused = too_many_refusals(wait_s)
            else:
                rates.note(address)
                _log.warning("delivery refused", source=self._source, status=refused.status, reason=refused.message)
        self._parts.refusals.count(refused.status, refused.reason, source=self._source)
        return refused.response()

    async def _store(self, incoming: IncomingDelivery) -> JSONResponse:
        with bound_context(delivery_id=incoming.delivery_id):
            recorded = await self._parts.inbox.store(incoming)
        answer = {
            "id": recorded.id,
            "trace_id": recorded.trace_id,
            "duplicate": not recorded.is_new,
            "again": recorded.again,
            "relevant": incoming.relevant,
            "filtered_by": incoming.filtered_by,
        }
        return JSONResponse(answer, status_code=202 if recorded.is_new or recorded.again else 200)
