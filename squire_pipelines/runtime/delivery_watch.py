"""The looks at the inbox of one home, each second in a thread: what needs no run of Dagster's is done within seconds.

Outcomes and failed checks are recorded. People's words that let work go on or stop it are obeyed: approvals of pull
requests that wait for one, and `/squire approve`, `reject` and `stop`. All else is the jobs' `collect` and `follow`,
which also do this where no such process runs, or where it has no access to GitHub.
"""

import asyncio
from collections.abc import Callable

from squire_pipelines.domain.commands import CommandName
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.repository_settings import RepositorySettings, repository_settings
from squire_pipelines.github import comments
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.ledger import deliveries, outcomes
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.repeating_thread import RepeatingThread
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.applying import Applied, InboxPlace, apply_waiting

EVERY_S = 1.0
_WHOLE_EVERY = 10
"""One look of so many reads the whole inbox, also what waits or was reopened; the others what has come since."""

_BUSY_TIMEOUT_S = 3.0
_GITHUB_TIMEOUT_S = 20.0
DECISIONS = frozenset({CommandName.APPROVE, CommandName.REJECT, CommandName.STOP})
"""The commands about tasks that are there: they need no reading of the issue."""

_log = get_logger(Component.PIPELINE)


class _WatchLog:
    """Hands on what `apply_waiting` and others have to say."""

    def warning(self, msg: str, *args: object) -> None:
        """Log something that a person should look at."""
        _log.warning("delivery.note", cause=msg % args)

    def exception(self, msg: str, *args: object) -> None:
        """Log the exception that is being handled."""
        _log.exception("delivery.failed", cause=msg % args)


class DeliveryWatch(RepeatingThread):
    """Applies deliveries again and again in a thread of its own, from entering the block to its end.

    Args:
        settings: Gives the settings as they are now.
        github: Gives GitHub, by settings and ledger.
        every_s: How often a look is made.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        github: Callable[[Settings, Ledger], GitHub] = GitHub,
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__("delivery-watch", first_after_s=every_s)
        self._settings = settings
        self._github = github
        self._every_s = every_s
        self._place = InboxPlace()
        self._looks = 0
        self._problem = ""

    def look(self) -> Applied:
        """Do what deliveries that wait say, as far as no run is needed for it; return what came of them.

        Raises:
            LedgerError: The ledger does not answer.
        """
        settings = self._settings()
        ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            return self._apply(ledger, settings)
        finally:
            ledger.close()

    def _apply(self, ledger: Ledger, settings: Settings) -> Applied:
        if (ledger.is_sqlite and not ledger.path.exists()) or not ledger.is_usable():
            return Applied()
        if self._looks % _WHOLE_EVERY == 0:
            self._place = InboxPlace()
        self._looks += 1
        with ledger.read() as tx:
            if not deliveries.has_unapplied(tx, after=self._place.after):
                return Applied()
        own = repository_settings(ledger, settings)
        applied = apply_waiting(ledger, own.of_all, _WatchLog(), asks=False, place=self._place)
        with ledger.read() as tx:
            waits = bool(outcomes.awaiting_approval(tx, set(applied.touched.reported)))
        if waits or applied.commented:
            try:
                asyncio.run(self._ask_github(ledger, own, applied))
            except (SquireError, TimeoutError) as error:
                # The jobs do it: what was not done stays open for them.
                _log.warning("delivery.github_not_asked", cause=str(error) or "GitHub was too slow")
        return applied

    async def _ask_github(self, ledger: Ledger, own: RepositorySettings, applied: Applied) -> None:
        from squire_pipelines.execution.comment_commands import obey_comments  # noqa: PLC0415 - 11 MB, rarely needed
        from squire_pipelines.publishing.follow import settle_approvals  # noqa: PLC0415 - likewise

        if access_to_all(own.operator).is_anonymous:
            return
        async with asyncio.timeout(_GITHUB_TIMEOUT_S), self._github(own.operator, ledger).client() as client:
            with ledger.read() as tx:
                waiting = outcomes.awaiting_approval(tx, set(applied.touched.reported))
                commented = deliveries.open_rows(tx, applied.commented, event=comments.EVENT, action=comments.CREATED)
            settled = await settle_approvals(
                ledger, client, waiting, settings=own.of_all, log=_WatchLog(), told_by=applied.touched.reported
            )
            reported = {one.id for task_id in settled.answered for one in applied.touched.reported.get(task_id, ())}
            with ledger.write() as tx:
                deliveries.mark_applied(tx, [one.id for one in applied.left if one.id in reported])
            await obey_comments(client, ledger, own.of, commented, only=DECISIONS)

    def repeat(self) -> float:
        """Look, and log once what keeps deliveries from being applied."""
        try:
            self.look()
            self._problem = ""
        except Exception as error:  # noqa: BLE001 - the next look may do better, and the jobs do it too
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:
                _log.error("deliveries could not be applied", reason=problem)
            self._problem = problem
        return self._every_s
