"""The receiver as an ASGI application: bounds, signature, inbox, answer. Acknowledged is durable.

Processes, sockets and settings belong to `serve`; what a delivery means to `github.events`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from squire_pipelines.errors import DeliveryError, LedgerError, SecretMissingError
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.github.protocol import DeliveryHeaders, parse_delivery_headers, verify_signature
from squire_pipelines.ledger import HEAD_REVISION, deliveries, repositories
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, bound_context, get_logger
from squire_pipelines.webhooks.refusals import RefusalCounts

THREAD_PREFIX = "receiver-ledger"
"""How the names of the threads begin that are in the ledger for a request."""

_ResultT = TypeVar("_ResultT")
_log = get_logger(Component.WEBHOOKS)
# Both headers are not signed, so that anybody who replays a delivery may put into them what he likes.
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_EVENT = re.compile(r"[a-z_]{1,100}")
_MAX_ACTION, _MAX_REPOSITORY = 100, 140


@dataclass(frozen=True, slots=True)
class Limits:
    """What the receiver spends on its callers.

    GitHub waits ten seconds for an answer (https://docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks),
    so body and ledger together have less. `buffered` is what all unfinished bodies together may take. Refusals are
    counted, and recorded every `refusals_every_s`: a flood of them must not become a flood of rows.
    """

    body: int = 25 * 2**20
    buffered: int = 100 * 2**20
    body_timeout_s: float = 5.0
    ledger_timeout_s: float = 4.0
    ready_timeout_s: float = 2.0
    refusals_every_s: float = 60.0
    threads: int = 4
    waiting: int = 256


class _RefusedError(Exception):
    """A request that is answered with an error; nothing was stored."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint

    def response(self) -> JSONResponse:
        return JSONResponse({"error": self.message, "hint": self.hint}, status_code=self.status)


@dataclass(slots=True)
class _BufferShare:
    """How many bytes of the common buffer one request has taken."""

    taken: int = 0


class _Receiver:
    def __init__(
        self,
        ledger: Ledger,
        secret: Callable[[], bytes],
        repositories: Callable[[], Collection[str]],
        limits: Limits,
    ) -> None:
        self._ledger = ledger
        self._secret = secret
        self._repositories = repositories
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix=THREAD_PREFIX)
        self._waiting = 0
        self._buffered = 0
        self._refusals = RefusalCounts(ledger)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Ends the threads; not waiting for one that the ledger keeps, whose request was never acknowledged."""
        recording = asyncio.create_task(self._record_refusals())
        try:
            yield
        finally:
            recording.cancel()
            with suppress(_RefusedError):
                await self._in_ledger(self._refusals.record, self._limits.ready_timeout_s)
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _record_refusals(self) -> None:
        while True:
            await asyncio.sleep(self._limits.refusals_every_s)
            with suppress(_RefusedError):  # it is logged, and the counts go on
                await self._in_ledger(self._refusals.record, self._limits.ledger_timeout_s)

    async def github(self, request: Request) -> JSONResponse:
        """Take one of GitHub's deliveries."""
        try:
            with self._buffer() as share:
                body = await self._body(request, share)
                return await self._store(request, body)
        except _RefusedError as refused:
            _log.warning("delivery refused", status=refused.status, reason=refused.message)
            self._refusals.count(refused.status, refused.message)
            return refused.response()
        except DeliveryError as error:
            _log.warning("delivery refused", status=400, reason=error.message)
            self._refusals.count(400, "it is not what GitHub sends")
            return JSONResponse({"error": error.message, "hint": error.hint}, status_code=400)

    async def healthz(self, _request: Request) -> JSONResponse:
        """Say that the process is up."""
        return JSONResponse({"ok": True})

    async def readyz(self, _request: Request) -> JSONResponse:
        """Say whether the ledger answers, with the schema that this code writes."""
        try:
            revision = await self._in_ledger(self._ledger.revision, self._limits.ready_timeout_s)
        except _RefusedError as refused:
            return JSONResponse({"ready": False, "reason": refused.message}, status_code=503)
        if revision != HEAD_REVISION:
            return JSONResponse({"ready": False, "reason": "the ledger has another schema"}, status_code=503)
        return JSONResponse({"ready": True})

    @contextmanager
    def _buffer(self) -> Iterator[_BufferShare]:
        """Give a share of the common buffer, which is returned when the request is done."""
        share = _BufferShare()
        try:
            yield share
        finally:
            self._buffered -= share.taken

    async def _body(self, request: Request, share: _BufferShare) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and len(declared) < 20 and int(declared) > self._limits.body:  # noqa: PLR2004 - digits of 2**64
            raise self._too_large()
        chunks = []
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for chunk in request.stream():
                    if share.taken + len(chunk) > self._limits.body:
                        raise self._too_large()
                    if self._buffered + len(chunk) > self._limits.buffered:
                        raise _RefusedError(503, "too many deliveries at once", "deliver it again later")
                    self._buffered += len(chunk)
                    share.taken += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            raise _RefusedError(408, f"the body did not arrive within {self._limits.body_timeout_s:g} s") from None
        except ClientDisconnect:
            raise _RefusedError(400, "the caller hung up before the body was whole") from None
        return b"".join(chunks)

    def _too_large(self) -> _RefusedError:
        return _RefusedError(413, f"the body is larger than {self._limits.body} bytes", "see webhooks.max_body")

    async def _store(self, request: Request, body: bytes) -> JSONResponse:
        if not verify_signature(body, request.headers.get("x-hub-signature-256"), self._secret()):
            raise _RefusedError(
                401, "X-Hub-Signature-256 is missing or wrong", "is the webhook's secret the same on both sides?"
            )
        headers = parse_delivery_headers(request.headers)
        if not _DELIVERY_ID.fullmatch(headers.delivery_id) or not _EVENT.fullmatch(headers.event):
            raise _RefusedError(400, "X-GitHub-Delivery or X-GitHub-Event is not what GitHub sends")
        with bound_context(delivery_id=headers.delivery_id):
            return await self._store_verified(headers, body)

    async def _store_verified(self, headers: DeliveryHeaders, body: bytes) -> JSONResponse:
        parsed = parse_delivery(headers.event, body)
        watched = self._watched(parsed.repository) or await self._watched_by_id(parsed.repository_id)
        relevant = parsed.relevant and (watched is not None or parsed.of_account)
        recorded = await self._in_ledger(
            lambda: deliveries.record(
                self._ledger,
                source="github",
                delivery_id=headers.delivery_id,
                event=headers.event,
                action=parsed.action[:_MAX_ACTION] if parsed.action else None,
                repository=watched or (parsed.repository[:_MAX_REPOSITORY] if parsed.repository else None),
                body=body,
                relevant=relevant,
                collects=parsed.collects,
            ),
            self._limits.ledger_timeout_s,
        )
        _log.info(
            "delivery stored" if recorded.is_new else "delivery known already",
            trace_id=recorded.trace_id,
            webhook_event=headers.event,
            repository=parsed.repository,
            relevant=relevant,
        )
        answer = {"id": recorded.id, "trace_id": recorded.trace_id, "duplicate": not recorded.is_new}
        return JSONResponse(answer | {"relevant": relevant}, status_code=202 if recorded.is_new else 200)

    def _watched(self, repository: str | None) -> str | None:
        """Return the repository's name as the settings spell it, None when it is not in them; GitHub ignores case."""
        folded = (repository or "").casefold()
        return next((name for name in self._repositories() if name.casefold() == folded), None)

    async def _watched_by_id(self, github_id: int | None) -> str | None:
        """Return the settings' name of a repository that has another name by now, None when it is not in them."""
        if github_id is None:
            return None

        def read() -> str | None:
            with self._ledger.read() as tx:
                return repositories.name_of_id(tx, github_id)

        return self._watched(await self._in_ledger(read, self._limits.ledger_timeout_s))

    async def _in_ledger(self, call: Callable[[], _ResultT], timeout_s: float) -> _ResultT:
        """Run a blocking call in the pool; whatever goes wrong, the caller is told to come again."""
        if self._waiting >= self._limits.waiting:
            raise _RefusedError(503, "too many deliveries at once", "deliver it again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except (LedgerError, SQLAlchemyError) as error:
            _log.error("the ledger failed", reason=str(error))
            raise _RefusedError(503, "the ledger does not answer", "deliver it again later") from error
        except TimeoutError:
            # The call may still commit: then a redelivery is found to be a duplicate, and nothing is lost.
            _log.error("the ledger is slow", timeout_s=timeout_s)
            raise _RefusedError(503, f"the ledger did not answer within {timeout_s:g} s") from None
        finally:
            self._waiting -= 1


def create_app(
    *,
    ledger: Ledger,
    secret: Callable[[], bytes],
    repositories: Callable[[], Collection[str]],
    limits: Limits | None = None,
) -> Starlette:
    """Return the receiver: `POST /webhooks/github`, `GET /healthz`, `GET /readyz`.

    A delivery is answered with 202 once it is committed, with 200 when it was there already. Everything else stored
    nothing that we answer for: 400 not what GitHub sends, 401 signature, 408 and 413 body, 503 ledger or too busy.

    Args:
        ledger: Open, with its schema in place; the caller closes it.
        secret: Gives the webhook's secret, as bytes; asked at each delivery, and never empty.
        repositories: The names whose deliveries ask for something, asked for at each delivery; those of others are
            kept as irrelevant.
        limits: Bounds; sizes in bytes.

    Raises:
        SecretMissingError: The secret is empty.
    """
    if not secret():
        raise SecretMissingError(
            "the webhook secret is empty", hint="set SQUIRE_WEBHOOK_SECRET to the secret of the webhook on GitHub"
        )
    receiver = _Receiver(ledger, secret, repositories, limits or Limits())
    routes = [
        Route("/webhooks/github", receiver.github, methods=["POST"]),
        Route("/healthz", receiver.healthz, methods=["GET"]),
        Route("/readyz", receiver.readyz, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=receiver.lifespan)
