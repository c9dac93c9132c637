"""Repairs the inbox: what GitHub has sent and is not here is asked for again, and its repositories are read at once.

GitHub delivers nothing again by itself. A redelivery has the same GUID, so that it is known when it arrives, and
whoever asks twice gets one effect. What is missing follows from GitHub's list and the ledger alone: a repair that was
killed is made by the next one. `delivery_hooks` has which hooks there are, `domain.delivery_gaps` the rules.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.delivery_gaps import (
    KEPT_FOR,
    DeliveryGap,
    LastCheck,
    cause_of,
    choose_probe,
    compare_since,
    find_gaps,
)
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import (
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubValidationError,
)
from squire_pipelines.execution.delivery_hooks import AT_ONCE, OwnHook, UnseenHook, hook_client, survey_hooks
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.hook_deliveries import (
    APP_HOOK,
    DeliveryListing,
    HookAddress,
    ask_again,
    list_deliveries,
    merge_listings,
)
from squire_pipelines.ledger import deliveries, delivery_checks, repositories
from squire_pipelines.ledger.delivery_checks import NewCheck
from squire_pipelines.ledger.single_flight import single_flight
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets.lookup import locate_secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.signing_secrets import names_of_signing_secrets

WAIT_S = 12.0
"""So long redeliveries are waited for: GitHub gives the receiver ten seconds to answer."""

_POLL_S = 0.25
_log = get_logger(Component.WEBHOOKS)
_OFF = ("the webhook is switched off at GitHub", "switch it on in the repository's settings, Webhooks")
_NOT_KEPT = (
    "GitHub does not send them again (422), as it does what is too old",
    "there is nothing to do: their repositories are read as they are now",
)
_UNREADABLE_HINT = "check `github.api_url`, and whether a proxy answers in GitHub's place"
_MAY_NOT = (
    "GitHub does not let the token ask for deliveries again",
    "give it the permission Webhooks (read and write) for the repository",
)


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """How to repair.

    Args:
        only: These repositories; all of the settings where none is named.
        since: Compare from then on; None for from the last comparison on.
        is_dry_run: Compare alone: nothing is asked for, and nothing recorded.
        is_patient: Leave what was asked for lately to a later repair; False asks for all that is missing.
        wait_s: How long redeliveries are waited for.
    """

    only: tuple[str, ...] = ()
    since: datetime | None = None
    is_dry_run: bool = False
    is_patient: bool = True
    wait_s: float = WAIT_S


@dataclass(frozen=True, slots=True)
class HookRepair:
    """What was compared and repaired of one hook's deliveries.

    Args:
        hook: The repository, or `app`.
        since: From when on deliveries were compared.
        listed: How many GitHub listed.
        gaps: Those that were not here.
        asked: How many GitHub was asked to deliver again, and takes that.
        refused: How many it does not deliver again, since it does not keep them any more.
        arrived: How many of the gaps were here at the end.
        collected: The repositories whose reading was requested.
        error: What is left, and why; empty where nothing is.
        hint: What to do about it.
    """

    hook: str
    since: datetime
    listed: int = 0
    gaps: tuple[DeliveryGap, ...] = ()
    asked: int = 0
    refused: int = 0
    arrived: int = 0
    collected: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""

    @property
    def failed(self) -> int:
        """How many of the gaps GitHub saw end with something else than 2xx."""
        return sum(gap.is_failed for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What a repair did: of each hook; which webhooks could not be asked about; and why nothing was done, if so.

    `is_busy` says that nothing was done since another repair is under way.
    """

    hooks: tuple[HookRepair, ...] = ()
    unseen: tuple[UnseenHook, ...] = ()
    idle: str = ""
    is_busy: bool = False

    def count(self, name: str) -> int:
        """Return a figure of `HookRepair` for all hooks together."""
        return sum(getattr(hook, name) for hook in self.hooks)

    @property
    def missing(self) -> int:
        """How many deliveries were not here."""
        return sum(len(hook.gaps) for hook in self.hooks)


def reason_to_do_nothing(settings: Settings) -> str:
    """Return why no deliveries can be missed, in words; empty where they can. Raises ConfigError."""
    if not settings.repositories:
        return "the settings name no repositories"
    names = names_of_signing_secrets(settings.webhooks, settings.recorded_tenants)
    if not any(locate_secret(name, settings.secret_sources)[0] for name in names):
        return "there is no webhook secret: no deliveries are received, and the repositories are read on schedule"
    return ""


async def repair_deliveries(
    ledger: Ledger, settings: Settings, github: GitHub, options: RepairOptions, *, trace_id: str
) -> RepairResult:
    """Compare what GitHub sent with what is here, and have it sent again; one repair at a time, of all machines.

    Raises:
        ConfigError: The credentials cannot be used.
        LedgerError: It does not answer.
    """
    if idle := reason_to_do_nothing(settings):
        return RepairResult(idle=idle)
    try:
        with single_flight(ledger, "delivery repair", settings.home.run / "delivery-repair.lock"):
            async with hook_client(github) as client:
                return await _Repair(ledger, settings, client, options, trace_id).run()
    except TimeoutError:
        return RepairResult(idle="another repair is under way", is_busy=True)


def log_repair(result: RepairResult) -> None:
    """Write to the log what was compared, and what could not be. The command shows it in its own way."""
    for one in result.hooks:
        _log.info(
            "deliveries compared",
            hook=one.hook,
            listed=one.listed,
            missing=len(one.gaps),
            asked_again=one.asked,
            refused=one.refused,
            arrived=one.arrived,
            left=one.error,
        )
    for hook in result.unseen:
        _log.info("deliveries not compared", hook=hook.name, reason=hook.reason)


@dataclass(frozen=True, slots=True)
class _Repair:
    """One repair, with what it needs."""

    ledger: Ledger
    settings: Settings
    client: GitHubClient
    options: RepairOptions
    trace_id: str

    async def run(self) -> RepairResult:
        survey = await survey_hooks(self.settings, self.client, self.options.only or self.settings.repositories)
        turns = asyncio.Semaphore(AT_ONCE)

        async def repair(hook: OwnHook) -> HookRepair | UnseenHook:
            async with turns:
                return await self._repair(hook)

        answers = await asyncio.gather(*map(repair, survey.hooks))
        unseen = (*survey.unseen, *(answer for answer in answers if isinstance(answer, UnseenHook)))
        self._record_lost_hooks(unseen)
        return RepairResult(tuple(answer for answer in answers if isinstance(answer, HookRepair)), unseen)

    def _record_lost_hooks(self, unseen: Iterable[UnseenHook]) -> None:
        """Record that a webhook is gone or hidden which was compared before; GitHub's outages are told elsewhere."""
        for hook in unseen:
            with self.ledger.read() as tx:
                last = delivery_checks.last_check(tx, hook.name)
            if last is None or not hook.is_lasting or self.options.is_dry_run:
                continue
            check = NewCheck(hook.name, last.since, 0, 0, 0, 0, f"{hook.reason} any more: {hook.hint}")
            with self.ledger.write() as tx:
                delivery_checks.record_check(tx, check, trace_id=self.trace_id)

    async def _repair(self, hook: OwnHook) -> HookRepair | UnseenHook:
        with self.ledger.read() as tx:
            last, now = delivery_checks.last_check(tx, hook.name), tx.now
        usual = compare_since(last, now)
        since = max(self.options.since or usual, now - KEPT_FOR)
        try:
            listing = await self._list(hook, since, now)
        except (GitHubNotFoundError, GitHubPermissionError) as error:
            return UnseenHook(hook.name, "GitHub does not list its deliveries to the token", error.hint)
        except GitHubError as error:
            return UnseenHook(hook.name, error.message, error.hint, is_lasting=False)
        is_full = since <= usual
        since = listing.since
        gaps, names = self._compare(hook, listing, now)
        result = HookRepair(hook.name, since, len(listing.attempts), gaps)
        if self.options.is_dry_run:
            return result
        result = replace(result, collected=self._request_collections(gaps, names, last))
        if not hook.is_active:
            result = replace(result, error=_OFF[0], hint=_OFF[1])
        elif gaps:
            result = await self._ask(hook, listing, result, now)
        if not listing.is_whole and not result.error:
            left = f"deliveries before {since:%Y-%m-%d %H:%M} UTC are too many to compare"
            result = replace(result, error=left, hint="the next repair goes on from there")
        if listing.unreadable and not result.error:
            left = f"{listing.unreadable} of the entries of GitHub's list cannot be read"
            result = replace(result, error=left, hint=_UNREADABLE_HINT)
        if not (self.options.only and hook.address == APP_HOOK) and is_full:
            self._record(result)
        return result

    async def _list(self, hook: OwnHook, since: datetime, now: datetime) -> DeliveryListing:
        """Return what GitHub lists of a webhook, and of its repository's others that lead here. Raises GitHubError."""
        addresses = (hook.address, *(one.address for one in hook.siblings if one.is_active))
        return merge_listings(
            [await list_deliveries(self.client, address, since=since, now=now) for address in addresses]
        )

    def _compare(
        self, hook: OwnHook, listing: DeliveryListing, now: datetime
    ) -> tuple[tuple[DeliveryGap, ...], dict[str, str]]:
        """Return the gaps, and by their GUIDs the settings' names of the repositories that they are about."""
        with self.ledger.read() as tx:
            guids = {attempt.guid for attempt in listing.attempts}
            known = delivery_checks.known_deliveries(tx, DeliverySource.GITHUB, guids)
            gaps = find_gaps(listing.attempts, known, now)
            names: dict[str, str] = {}
            for gap in gaps:
                number = gap.newest.repository_id
                name = hook.name
                if hook.address == APP_HOOK:
                    name = (repositories.name_of_id(tx, number) if number is not None else None) or ""
                if spelled := self.settings.spelling_of(name):
                    names[gap.guid] = spelled
        if hook.address == APP_HOOK and self.options.only:
            only = {name.casefold() for name in self.options.only}
            gaps = tuple(gap for gap in gaps if names.get(gap.guid, "").casefold() in only)
        return gaps, names

    def _request_collections(
        self, gaps: Sequence[DeliveryGap], names: dict[str, str], last: LastCheck | None
    ) -> tuple[str, ...]:
        """Request a reading of the repositories of gaps that no repair has seen before; return their names."""
        new = (gap for gap in gaps if last is None or gap.first_at >= last.at)
        repositories_of_gaps = tuple(sorted({names[gap.guid] for gap in new if gap.guid in names}))
        if repositories_of_gaps:
            with self.ledger.write() as tx:
                deliveries.request_collection(
                    tx, repositories_of_gaps, source=DeliverySource.REPAIR, trace_id=self.trace_id
                )
        return repositories_of_gaps

    async def _ask(self, hook: OwnHook, listing: DeliveryListing, result: HookRepair, now: datetime) -> HookRepair:
        """Ask for what is due, one delivery first where the last attempt failed: nothing may be there to take it."""
        due = [gap for gap in result.gaps if not self.options.is_patient or gap.is_due(now)]
        due = due[: self.settings.webhooks.repair_most]
        cause = cause_of(result.gaps[0].newest.status)
        asked: list[DeliveryGap] = []
        refused = 0
        is_uncertain = bool(listing.attempts) and not listing.attempts[0].is_good
        try:
            while due:
                gap = choose_probe(due) if is_uncertain else due[0]
                due.remove(gap)
                if not await self._ask_for(hook, gap):
                    refused += 1
                    continue
                asked.append(gap)
                if is_uncertain and not await self._have_arrived([gap]):
                    cause = cause_of(await self._newest_status(hook, gap, now))
                    break
                is_uncertain = False
            else:
                await self._have_arrived(asked)
        except (GitHubNotFoundError, GitHubPermissionError):
            cause = _MAY_NOT
        except GitHubError as error:
            cause = error.message, error.hint
        arrived = len(self._arrived(result.gaps))
        if left := len(result.gaps) - arrived:
            cause = _NOT_KEPT if refused >= left else cause
            noun = "delivery is" if left == 1 else "deliveries are"
            result = replace(result, error=f"{left} {noun} not here: {cause[0]}", hint=cause[1])
        return replace(result, asked=len(asked), refused=refused, arrived=arrived)

    async def _ask_for(self, hook: OwnHook, gap: DeliveryGap) -> bool:
        """Ask for one delivery; return whether GitHub takes that. Raises GitHubError."""
        try:
            await ask_again(self.client, _address_of(hook, gap), gap.newest.id)
        except GitHubValidationError:  # it does not keep this one any more
            return False
        return True

    async def _have_arrived(self, gaps: Sequence[DeliveryGap]) -> bool:
        """Wait until all of these are here; return whether they are in time."""
        deadline = time.monotonic() + self.options.wait_s
        while len(self._arrived(gaps)) < len(gaps):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _arrived(self, gaps: Sequence[DeliveryGap]) -> frozenset[str]:
        with self.ledger.read() as tx:
            return delivery_checks.known_deliveries(tx, DeliverySource.GITHUB, {gap.guid for gap in gaps})

    async def _newest_status(self, hook: OwnHook, gap: DeliveryGap, now: datetime) -> int:
        """Return how the newest attempt of a delivery was answered that has ended."""
        address = _address_of(hook, gap)
        listing = await list_deliveries(self.client, address, since=gap.first_at, now=now, most_pages=1)
        return next((one.status for one in listing.attempts if one.guid == gap.guid and not one.is_under_way), 0)

    def _record(self, result: HookRepair) -> None:
        # GitHub's words are cleaned of what no database takes.
        error = one_line(f"{result.error} ({result.hint})" if result.hint else result.error)
        check = NewCheck(
            result.hook, result.since, result.listed, len(result.gaps), result.failed, result.asked, error or None
        )
        with self.ledger.write() as tx:
            delivery_checks.record_check(tx, check, trace_id=self.trace_id)


def _address_of(hook: OwnHook, gap: DeliveryGap) -> HookAddress:
    """Return by which webhook a missing delivery was sent: the repository may have several that lead here."""
    several = (hook, *hook.siblings)
    return next((one.address for one in several if one.address.webhook_id == gap.newest.webhook_id), hook.address)
