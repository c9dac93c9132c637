"""The check of the webhook: GitHub has one that leads here, and a ping through it arrives in the inbox."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.ports import find_facts
from squire_pipelines.cli.text import duration
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.execution.delivery_hooks import read_repositories
from squire_pipelines.execution.delivery_repair import reason_to_do_nothing
from squire_pipelines.github.access import Access, AppAccess
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.hook_deliveries import ping_hook, repository_hook
from squire_pipelines.github.webhook_state import PATH, AppDelivery, Webhook, our_webhooks, read_app_deliveries
from squire_pipelines.health.github_credentials import known_access
from squire_pipelines.health.process_records import recorded_process
from squire_pipelines.ledger import deliveries, delivery_checks
from squire_pipelines.ledger.deliveries import ReceivedDelivery
from squire_pipelines.ledger.delivery_checks import HookCheck
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings

NAME = "webhook"
PING_TIMEOUT_S = 12.0
"""GitHub waits ten seconds for an answer."""

_TIMEOUT_S = 10
_POLL_S = 0.2
_ASKED_REPOSITORIES = 20
_FIRST_ERROR = 300
_OLD = timedelta(days=7)
_ADD = f"add a webhook in the repository's settings (docs/guide/github-access.md), whose address ends with {PATH}"
_START = "`squire dev` starts one"


@dataclass(frozen=True, slots=True)
class HookFacts:
    """What GitHub says of one repository's webhooks; None where it does not show them to the token."""

    repository: str
    webhooks: tuple[Webhook, ...] | None


@dataclass(frozen=True, slots=True)
class PingFacts:
    """How a ping went: after how many seconds it was in the inbox, None for not in time; and how GitHub saw it end."""

    repository: str
    webhook: Webhook
    arrived_after_s: float | None


def check_webhook(context: CliContext) -> Iterator[Diagnosis]:
    """Check the webhook, where there is a secret for it; without one the receiver accepts nothing."""
    settings = context.settings
    if reason_to_do_nothing(settings):
        return
    ledger = context.ledger if context.has_ledger else None
    if ledger is not None:
        with ledger.read() as tx:
            yield from judge_checks(tuple(delivery_checks.newest_checks(tx)), tx.now)
    access = known_access(settings)
    if access is None:
        yield judge_inbox(*_newest(ledger))
    elif isinstance(access, AppAccess):
        yield from asyncio.run(_ask_app(access, ledger))
    else:
        yield from asyncio.run(_ask_repositories(settings, access, ledger, may_arrive=_may_arrive(context)))


def _may_arrive(context: CliContext) -> bool:
    """Return whether some receiver may be up that writes to this ledger: to a file of this machine, only one here."""
    webhooks = context.settings.webhooks
    if context.settings.ledger_file is None or recorded_process(context.home.run / "receiver.pid") is not None:
        return True
    facts = find_facts(NAME, "webhooks.port", webhooks.host, webhooks.port, record=context.home.run / "receiver.pid")
    return bool(facts.problem)


def _newest(ledger: Ledger | None) -> tuple[ReceivedDelivery | None, datetime | None]:
    """Return the newest delivery of GitHub's in the inbox, and the ledger's time."""
    if ledger is None:
        return None, None
    with ledger.read() as tx:
        return deliveries.newest(tx, source=DeliverySource.GITHUB), tx.now


async def _ask_app(access: AppAccess, ledger: Ledger | None) -> list[Diagnosis]:
    try:
        last = read_app_deliveries(await access.hook_deliveries())
    except (GitHubNotFoundError, GitHubPermissionError):
        return [judge_inbox(*_newest(ledger))]
    except GitHubError:
        return []  # the check of GitHub has told
    return [judge_app(last)]


async def _ask_repositories(
    settings: Settings, access: Access, ledger: Ledger | None, *, may_arrive: bool
) -> list[Diagnosis]:
    github = settings.github.model_copy(update={"timeout_s": min(settings.github.timeout_s, _TIMEOUT_S)})
    async with GitHubClient(github, access, attempts=1) as client:
        names, public_url = settings.repositories[:_ASKED_REPOSITORIES], settings.webhooks.public_url
        answers = await read_repositories(client, names, public_url=public_url)
        facts = [  # of other errors the check of GitHub has told
            HookFacts(one.repository, None if one.is_hidden else one.webhooks)
            for one in answers
            if one.error is None or one.is_hidden
        ]
        rows = list(judge_hooks(facts))
        usable = next(((one.repository, hook) for one in facts for hook in one.webhooks or () if hook.is_active), None)
        if usable is None:
            return rows if rows or not facts else [judge_inbox(*_newest(ledger))]
        repository, webhook = usable
        if ledger is None or not may_arrive:
            return [*rows, judge_unserved(repository, webhook)]
        try:
            return [*rows, judge_ping(await _ping(client, repository, webhook, ledger))]
        except GitHubError as error:
            step = "give the token the permission Webhooks (write), or look at the webhook's page in GitHub's settings"
            return [*rows, Diagnosis(NAME, "warn", f"{webhook.url} was not pinged: {error.message}", step)]


async def _ping(
    client: GitHubClient,
    repository: str,
    webhook: Webhook,
    ledger: Ledger,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> PingFacts:
    """Ping a webhook and wait for it in the inbox. Raises GitHubError."""

    def newest_ping() -> int:
        with ledger.read() as tx:
            row = deliveries.newest(tx, source=DeliverySource.GITHUB, event="ping")
        return row.id if row else 0

    before, began = newest_ping(), monotonic()
    await ping_hook(client, repository_hook(repository, webhook.id))
    while monotonic() - began < PING_TIMEOUT_S:
        if newest_ping() > before:
            return PingFacts(repository, webhook, monotonic() - began)
        await asyncio.sleep(_POLL_S)
    again = [hook for hook in await our_webhooks(client, repository) if hook.id == webhook.id]
    return PingFacts(repository, again[0] if again else webhook, None)


def _is_good(status: int | None) -> bool:
    return status is not None and status < _FIRST_ERROR


def judge_checks(checks: Sequence[HookCheck], now: datetime) -> Iterator[Diagnosis]:
    """Yield a line about the newest comparisons of deliveries with GitHub's; none where nothing was compared."""
    step = "`squire webhooks repair` tries again now, and says more"
    for check in checks:
        if check.error is not None:
            yield Diagnosis(NAME, "warn", f"deliveries of {check.hook}: {check.error}", step)
    if checks and all(check.error is None for check in checks):
        age = duration((now - min(check.at for check in checks)).total_seconds())
        yield Diagnosis(NAME, "ok", f"deliveries were compared with GitHub's {age} ago: none is missing")


def judge_hooks(facts: Sequence[HookFacts]) -> Iterator[Diagnosis]:
    """Yield a line for each kind of webhook that is not as it should be."""
    without = [one.repository for one in facts if one.webhooks == ()]
    if without:
        yield Diagnosis(NAME, "warn", f"no webhook leads to Squire from {', '.join(without)}", _ADD)
    asleep = [one.repository for one in facts if one.webhooks and not any(hook.is_active for hook in one.webhooks)]
    if asleep:
        step = "switch it on in the repository's settings, Webhooks"
        yield Diagnosis(NAME, "warn", f"the webhook is switched off in {', '.join(asleep)}", step)


def judge_unserved(repository: str, webhook: Webhook) -> Diagnosis:
    """Return the line where no receiver of this home runs, so that a ping could not arrive."""
    last = f"; GitHub's last delivery ended with: {webhook.message or webhook.status}" if webhook.message else ""
    return Diagnosis(NAME, "ok", f"{repository} has {webhook.url}, not pinged: no receiver runs here ({_START}){last}")


def judge_ping(facts: PingFacts) -> Diagnosis:
    """Return the line about a webhook that was pinged."""
    place = f"{facts.webhook.url} of {facts.repository}"
    if facts.arrived_after_s is not None:
        return Diagnosis(NAME, "ok", f"a ping through {place} arrived after {facts.arrived_after_s:.1f} s")
    status, message = facts.webhook.status, facts.webhook.message or "no answer"
    if status == 401:  # noqa: PLR2004 - the receiver's answer to a wrong signature
        step = (
            "the webhook has another secret: enter what `squire secrets get webhook-secret --reveal` shows on its page"
        )
    elif status is None:
        step = "make the receiver's address reachable from GitHub, and check the webhook's address"
    elif _is_good(status):
        step = "another receiver answers there: check the webhook's address, and that it has the same ledger"
    else:
        step = "what answers there is not Squire's receiver, or it fails: see run/receiver.log, and check the address"
    ending = f"{status} {message}" if status is not None else message
    return Diagnosis(NAME, "fail", f"a ping through {place} did not arrive within {PING_TIMEOUT_S:g} s: {ending}", step)


def judge_app(last: Sequence[AppDelivery]) -> Diagnosis:
    """Return the line about an App's webhook by its last deliveries, the newest first."""
    if not last:
        step = "enter the receiver's address on the App's page, Webhook, and switch it on"
        return Diagnosis(NAME, "warn", "GitHub has delivered nothing to the App's webhook in the last days", step)
    newest = last[0]
    text = f"the App's last delivery ({newest.event}, {newest.delivered_at})"
    if _is_good(newest.status):
        return Diagnosis(NAME, "ok", f"{text} was answered with {newest.status}")
    step = "`squire webhooks repair` names the cause, and has sent again what is missing"
    return Diagnosis(NAME, "fail", f"{text} ended with {newest.status or 'no answer'}", step)


def judge_inbox(newest: ReceivedDelivery | None, now: datetime | None) -> Diagnosis:
    """Return the line where GitHub does not show its webhooks: by what has arrived."""
    hidden = "GitHub does not show its webhooks to the token"
    if newest is None or now is None:
        return Diagnosis(NAME, "warn", f"no delivery has ever arrived; {hidden}", _ADD)
    age = now - newest.received_at
    text = f"the last delivery ({newest.event}) arrived {duration(age.total_seconds())} ago; {hidden}"
    if age <= _OLD:
        return Diagnosis(NAME, "ok", text)
    step = "see the webhook's page in GitHub's settings, Recent Deliveries, whether newer ones failed"
    return Diagnosis(NAME, "warn", text, step)
