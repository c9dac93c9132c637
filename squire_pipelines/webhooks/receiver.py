"""The receiver as an ASGI application: its paths, and what its endpoints share. Acknowledged is durable.

Processes, sockets and settings belong to `serve`; what a delivery means to `github.events`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.errors import SecretMissingError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.webhooks.endpoints import DeliveryEndpoint, ReceiverParts
from squire_pipelines.webhooks.filtering import NO_RULES, DeliveryJudge
from squire_pipelines.webhooks.github_deliveries import GitHubDeliveries
from squire_pipelines.webhooks.hooks import HOOK_PATH, OtherSenders
from squire_pipelines.webhooks.inbox import DeliveryInbox
from squire_pipelines.webhooks.ledger_threads import LedgerThreads
from squire_pipelines.webhooks.ledger_writes import LedgerWrites
from squire_pipelines.webhooks.limits import Limits, RequestRefusedError
from squire_pipelines.webhooks.live_hooks import LiveHook
from squire_pipelines.webhooks.refusal_rates import RefusalRates
from squire_pipelines.webhooks.refusals import RefusalCounts
from squire_pipelines.webhooks.request_bodies import RequestBodies
from squire_pipelines.webhooks.signing_secrets import SigningSecrets
from squire_pipelines.webhooks.wrong_paths import WrongPaths

GITHUB_PATHS = ("/webhooks/github", "/webhook")
"""Where GitHub's deliveries are taken; the second is the old product's."""

MAX_INBOX_BYTES = 2**30
REFUSALS_PER_MINUTE = 60


class _Receiver:
    """The parts of one receiver, from the start of the application to its end."""

    def __init__(self, ledger: Ledger, parts: ReceiverParts, writes: LedgerWrites) -> None:
        self._ledger = ledger
        self._parts = parts
        self._writes = writes

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Record refusals now and then, and at the end; then let the threads end."""
        parts = self._parts
        recording = asyncio.create_task(self._record_refusals())
        try:
            yield
        finally:
            recording.cancel()
            with suppress(RequestRefusedError):
                await parts.threads.call(parts.refusals.record, parts.limits.ready_timeout_s)
            parts.inbox.close()
            parts.threads.close()

    async def _record_refusals(self) -> None:
        parts = self._parts
        while True:
            await asyncio.sleep(parts.limits.refusals_every_s)
            with suppress(RequestRefusedError):  # it is logged, and the counts go on
                await parts.threads.call(parts.refusals.record, parts.limits.ledger_timeout_s)

    async def healthz(self, _request: Request) -> JSONResponse:
        """Say that the process is up."""
        return JSONResponse({"ok": True})

    async def readyz(self, _request: Request) -> JSONResponse:
        """Say whether the ledger answers, with the schema that this code writes, and takes writes."""
        try:
            reason = await self._parts.threads.call(self._why_not_ready, self._parts.limits.ready_timeout_s)
        except RequestRefusedError as refused:
            reason = refused.message
        if reason:
            return JSONResponse({"ready": False, "reason": reason}, status_code=503)
        return JSONResponse({"ready": True})

    def _why_not_ready(self) -> str:
        """Return why no delivery can be stored, empty where one can. Raises LedgerError."""
        if not self._ledger.is_usable():
            return "the ledger has another schema"
        return "" if self._writes.can_write() else "the ledger cannot be written: the log says why"


def create_app(
    *,
    ledger: Ledger,
    secrets: Callable[[], SigningSecrets],
    repositories: Callable[[], Collection[str]],
    judge: Callable[[], DeliveryJudge] = lambda: NO_RULES,
    hooks: Callable[[], Mapping[str, LiveHook]] = dict,
    most_waiting_bytes: Callable[[], int] = lambda: MAX_INBOX_BYTES,
    refusals_per_minute: Callable[[], int] = lambda: REFUSALS_PER_MINUTE,
    refusals: RefusalCounts | None = None,
    limits: Limits | None = None,
) -> Starlette:
    """Return the receiver: `POST` to /webhooks/github, /webhook and /hooks/{source}, `GET` of /healthz and /readyz.

    A delivery is answered with 202 once it is committed, or read again since it had failed, with 200 when it was there
    already. Everything else stored nothing that we answer for: 400 not what GitHub sends, 401 signature, 404 path, 405
    method, 408 and 413 body, 415 content type, 429 too many refusals, 503 ledger or too busy.

    Args:
        ledger: Open, with its schema in place; the caller closes it.
        secrets: Gives the secrets that deliveries are signed with; asked at each delivery.
        repositories: Gives the names whose deliveries ask for something; those of others are kept as irrelevant.
        judge: Gives who says which deliveries ask for nothing, by the settings' rules.
        hooks: Gives the senders beside GitHub, by name.
        most_waiting_bytes: Gives how much may wait in the ledger to be read.
        refusals_per_minute: Gives how many requests of one address may be refused before it gets 429.
        refusals: Counts them, where the server counts those that never come here.
        limits: Bounds; sizes in bytes.

    Raises:
        SecretMissingError: There is no secret, or it is empty.
    """
    if not secrets().can_verify:
        raise SecretMissingError(
            "the webhook secret is empty", hint="set SQUIRE_WEBHOOK_SECRET to the secret of the webhook on GitHub"
        )
    limits, writes = limits or Limits(), LedgerWrites(ledger)
    parts = ReceiverParts(
        limits=limits,
        threads=LedgerThreads(limits),
        inbox=DeliveryInbox(ledger, limits, most_waiting_bytes, writes),
        bodies=RequestBodies(limits),
        refusals=refusals or RefusalCounts(ledger),
        rates=RefusalRates(refusals_per_minute),
    )
    receiver = _Receiver(ledger, parts, writes)
    deliveries = GitHubDeliveries(ledger, parts, secrets=secrets, repositories=repositories, judge=judge)
    github = DeliveryEndpoint(
        DeliverySource.GITHUB, parts, accept=deliveries.accept, may_be_signed=deliveries.may_be_signed
    )
    routes = [
        *(Route(path, github.receive, methods=["POST"]) for path in GITHUB_PATHS),
        Route(HOOK_PATH, OtherSenders(parts, hooks, judge=judge).receive, methods=["POST"]),
        Route("/healthz", receiver.healthz, methods=["GET"]),
        Route("/readyz", receiver.readyz, methods=["GET"]),
    ]
    wrong = WrongPaths(parts.refusals, github_path=GITHUB_PATHS[0], hook_path=HOOK_PATH.format(source="NAME"))
    app = Starlette(
        routes=routes, lifespan=receiver.lifespan, exception_handlers={404: wrong.answer, 405: wrong.answer}
    )
    app.router.redirect_slashes = False  # GitHub follows no redirection
    return app
