"""`squire webhooks rotate`: another secret for the webhooks, here and at GitHub, with no delivery refused."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import REPOSITORY, SPAN
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.unlock import unlock_store
from squire_pipelines.domain.delivery_gaps import APP_HOOK_NAME
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ConfigError, ExitCode, RefusedError, SettingError
from squire_pipelines.execution import secret_rotation
from squire_pipelines.execution.delivery_hooks import HookSurvey, hook_client, survey_hooks
from squire_pipelines.execution.secret_rotation import HookChange
from squire_pipelines.files import lock
from squire_pipelines.github.connection import GitHub
from squire_pipelines.machine_name import machine_name
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.lookup import locate_secret, require_secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_exactly, write_labelled, write_line

_KEEP_OLD = timedelta(days=1)
_REVEAL = "`squire secrets get webhook-secret --reveal`"


@command(
    "rotate",
    examples=(
        "squire webhooks rotate --dry-run   # what would be changed",
        "squire webhooks rotate",
        "squire webhooks rotate --finish    # a day later: the old one is removed",
        "squire webhooks rotate --json",
    ),
)
@click.option(
    "--repository", "repositories", type=REPOSITORY, multiple=True, help="Only this repository; may be given again."
)
@click.option("--dry-run", is_flag=True, help="Show what would be changed; nothing is.")
@click.option("--keep-old", type=SPAN, metavar="SPAN", help="Keep the old secret at least so long; by default 1d.")
@click.option("--finish", is_flag=True, help="Remove the old secret, once GitHub signs nothing with it any more.")
@click.option(
    "--show", is_flag=True, help="Write the new secret too, for a page of GitHub's that you fill in yourself."
)
@json_option
@with_context
def rotate(
    context: CliContext,
    repositories: tuple[str, ...],
    keep_old: timedelta | None,
    *,
    dry_run: bool,
    finish: bool,
    show: bool,
    as_json: bool,
) -> None:
    """Make another secret for the webhooks, and set it here and at GitHub; no delivery is refused meanwhile.

    The receiver takes the old one too, until `--finish` removes that. The secret is set at the App's webhook, or at
    each repository's, where the token has the permission Webhooks (write). A rotation that was interrupted goes on when
    the command is run again. The exit code is 1 where something is left to do by hand.
    """
    if show and as_json:
        raise click.UsageError("--show writes the secret for you, and --json has none: choose one")
    if show and (finish or dry_run):
        raise click.UsageError("--show writes the secret that is made, and neither --finish nor --dry-run makes one")
    settings = context.settings
    if repositories:
        _check_named(settings, repositories, is_finish=finish)
    unlock_store(context, settings.secret_sources)
    trace_id = new_trace_id()
    call = _RotateCall(context, settings, trace_id, (lambda _: None) if as_json else write_line)
    try:
        with bound_context(trace_id=trace_id), lock(context.home.run / "webhook-rotation.lock"):
            names = tuple(settings.spelling_of(name) or name for name in repositories) or settings.repositories
            if finish:
                document = _finish(call, keep_old, is_dry_run=dry_run)
            elif dry_run:
                document = _preview(call, names)
            else:
                document = _rotate(call, names, _KEEP_OLD if keep_old is None else keep_old)
    except TimeoutError:
        raise RefusedError("another rotation is under way", hint="wait until that command has ended") from None
    if as_json:
        emit_json(document)
    if show:
        write_exactly(require_secret(SecretName.WEBHOOK_SECRET, settings.secret_sources).reveal())
    if any(not hook["is_set"] for hook in document.get("hooks", ()) if "is_set" in hook):
        raise SystemExit(ExitCode.FAILED)


def _check_named(settings: Settings, names: Sequence[str], *, is_finish: bool) -> None:
    """Refuse --repository where it would have no effect."""
    if is_finish:
        raise click.UsageError("--finish removes the old secret for all repositories: leave out --repository")
    if settings.github.app_id:
        raise RefusedError(
            "the GitHub App's webhook is the one of all repositories, so that its secret is not rotated for one",
            hint="leave out --repository; `squire webhooks rotate --dry-run` shows what would be changed",
        )
    if not _shared(settings, names):
        raise RefusedError(
            f"{', '.join(names)}: the webhook has a secret of its own, which is not webhook-secret",
            hint="name a second one in [webhooks.secrets], give GitHub that, and remove the first",
        )


@dataclass(frozen=True, slots=True)
class _RotateCall:
    """What one call of the command works with; `say` writes what a person reads, and nothing where a program does."""

    context: CliContext
    settings: Settings
    trace_id: str
    say: Callable[[str], None]


def _shared(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the repositories whose webhooks have no secrets of their own."""
    own = {name.casefold() for name in settings.webhooks.secrets}
    return tuple(name for name in names if name.casefold() not in own)


def _left_out(call: _RotateCall, names: Sequence[str], survey: HookSurvey) -> dict[str, str]:
    """Return the repositories whose webhooks get no new secret, each with the reason, beside those that hide theirs."""
    settings = call.settings
    reasons = {unseen.name: unseen.reason for unseen in survey.unseen if unseen.is_absent}
    own = "its webhook has a secret of its own ([webhooks.secrets])"
    reasons |= dict.fromkeys(sorted(settings.webhooks.secrets), own)
    if settings.github.app_id:  # the one webhook of which is that of all repositories
        return reasons
    covered = {name.casefold() for name in (*names, *reasons)}
    for name in settings.repositories:
        if name.casefold() not in covered:
            reasons[name] = "--repository names others"
    known = (*names, *settings.repositories, *reasons)
    for name in secret_rotation.signed_elsewhere(call.context.ledger, settings.secret_sources, known):
        reasons[name] = (
            "it signs with the same secret and the settings do not name it: "
            f"`squire webhooks rotate --repository {name}` sets the new one there too"
        )
    return reasons


def _say_left_out(call: _RotateCall, reasons: Mapping[str, str]) -> None:
    for name, reason in reasons.items():
        call.say(f"{_title(name)}: left out; {reason}.")


async def _survey(settings: Settings, github: GitHub, names: tuple[str, ...]) -> HookSurvey:
    async with hook_client(github) as client:
        return await survey_hooks(settings, client, names)


def _preview(call: _RotateCall, names: tuple[str, ...]) -> dict[str, Any]:
    settings, say = call.settings, call.say
    github = GitHub(settings, call.context.ledger)
    state = secret_rotation.rotation_state(settings.secret_sources)
    say(f"webhook-secret is in the {state.where}.")
    if state.is_made:
        say("A rotation is under way: it would go on with the secret that it has made.")
    else:
        say("A new one would be made, and the present one kept as webhook-secret-old.")
    survey = asyncio.run(_survey(settings, github, _shared(settings, names)))
    several = Counter(hook.name for hook in survey.every_hook)
    for hook in survey.every_hook:
        title = _title(hook.name, hook.address.webhook_id if several[hook.name] > 1 else None)
        say(f"GitHub would get it for the webhook of {title}.")
    for unseen in survey.unseen:
        if not unseen.is_absent:
            say(f"{_title(unseen.name)}: {unseen.reason}.")
    left_out = _left_out(call, names, survey)
    _say_left_out(call, left_out)
    return {
        "is_dry_run": True,
        "kept_in": state.where,
        "goes_on": state.is_made,
        "hooks": [{"hook": hook.name, "webhook": hook.address.webhook_id} for hook in survey.every_hook],
        "not_seen": [{"hook": unseen.name, "reason": unseen.reason} for unseen in survey.unseen],
        "left_out": left_out,
    }


def _rotate(call: _RotateCall, names: tuple[str, ...], keep_old: timedelta) -> dict[str, Any]:
    """Rotate as far as that goes, and say so; return what was done, as the command writes it for programs."""
    context, settings, say = call.context, call.settings, call.say
    trace_id = call.trace_id
    who, sources = actor(), settings.secret_sources
    if settings.ledger_file is None and not secret_rotation.count_receivers(context.home):
        raise RefusedError(
            "no receiver of this home runs, and the ledger is on a server: one elsewhere would refuse the new secret; "
            "nothing was changed",
            hint="give the command where the receiver runs, with its home; the guide says how a secret is rotated by "
            "hand (docs/guide/webhooks.md)",
        )
    state = secret_rotation.make_secret(context.ledger, sources, keep_old=keep_old, actor=who, trace_id=trace_id)
    if state.is_made:
        say("A rotation is under way, and goes on with the secret that it has made.")
    else:
        say(f"A new webhook-secret is in the {state.where}, the present one is webhook-secret-old.")
    try:
        receivers, problem = secret_rotation.have_receivers_read(context.home)
    except OSError as error:
        raise SettingError(
            f"the receiver cannot be notified: {context.home.reload_request}: {error.strerror}",
            hint="make the home writable, and run the command again: the rotation goes on",
        ) from error
    if problem:
        raise ConfigError(
            f"a running receiver does not take the new secret: {problem}; nothing was changed at GitHub",
            hint="correct that, and run the command again: the rotation goes on",
        )
    if late := secret_rotation.wait_for_receivers(context.ledger, sources, SecretName.WEBHOOK_SECRET):
        raise ConfigError(
            f"the receiver on {', on '.join(late)} does not take the new secret yet; nothing was changed at GitHub",
            hint="there `squire secrets set webhook-secret-old` with the present secret, then `squire secrets set "
            f"webhook-secret` with what {_REVEAL} shows here; run the command again: the rotation goes on",
        )
    say("The running receiver takes both." if receivers else "No receiver runs here: its next start reads both.")
    has_receiver = bool(receivers)

    async def change() -> tuple[HookSurvey, tuple[HookChange, ...]]:
        github = GitHub(settings, context.ledger)
        async with hook_client(github) as client:
            survey = await survey_hooks(settings, client, _shared(settings, names))
            return survey, await secret_rotation.set_at_github(
                context.ledger, sources, client, survey, has_receiver=has_receiver, actor=who, trace_id=trace_id
            )

    survey, changes = asyncio.run(change())
    several = Counter(one.hook for one in changes)
    for one in changes:
        title = _title(one.hook, one.webhook_id if several[one.hook] > 1 else None)
        _tell(settings, one, say, title=title, has_receiver=has_receiver)
    left_out = _left_out(call, names, survey)
    _say_left_out(call, left_out)
    if not changes:
        say("GitHub has no webhook to set it at.")
    until = secret_rotation.old_kept_until(context.ledger)  # by the begin, where the rotation goes on
    after = "" if until is None else f" after {until:%Y-%m-%d %H:%M} UTC"
    say(f"The old one may go{after}: `squire webhooks rotate --finish`.")
    return {
        "is_dry_run": False,
        "kept_in": state.where,
        "goes_on": state.is_made,
        "receivers": receivers,
        "hooks": [_hook(settings, one) for one in changes],
        "left_out": left_out,
        "keep_old_until": until,
    }


def _hook(settings: Settings, change: HookChange) -> dict[str, Any]:
    """Return what became of a webhook; `page` is where a person sets the secret that the token may not set."""
    return {
        "hook": change.hook,
        "webhook": change.webhook_id,
        "is_set": change.is_set,
        "ping_arrived": change.is_seen,
        "problem": change.problem or None,
        "page": None if change.is_set else _page(settings, change),
    }


def _tell(
    settings: Settings, change: HookChange, say: Callable[[str], None], *, title: str, has_receiver: bool
) -> None:
    if not change.is_set:
        write_labelled("warning", f"{title}: {change.problem}", color="yellow")
        write_line(f"  enter what {_REVEAL} shows on {_page(settings, change)}", err=True)
    elif change.is_seen:
        say(f"{title}: GitHub has the new secret, and a ping signed with it has arrived.")
    elif change.problem:
        say(f"{title}: GitHub has the new secret; {change.problem}.")
    elif change.hook == APP_HOOK_NAME:
        say(f"{title}: GitHub has the new secret; its next delivery is signed with it.")
    elif has_receiver:
        write_labelled("warning", f"{title}: GitHub has the new secret, but no ping has arrived", color="yellow")
        write_line("  `squire doctor` pings again and says why", err=True)
    else:
        say(f"{title}: GitHub has the new secret; it was not pinged, since no receiver runs here.")


def _title(hook: str, webhook_id: int | None = None) -> str:
    """Return how a webhook is called; by its number where the repository has several."""
    if hook == APP_HOOK_NAME:
        return "the App"
    return hook if webhook_id is None else f"{hook}, webhook {webhook_id}"


def _page(settings: Settings, change: HookChange) -> str:
    if change.hook == APP_HOOK_NAME:
        return "the App's page at GitHub, Webhook secret"
    page = f"{settings.github.web_url}/{change.hook}/settings/hooks"
    return page if change.webhook_id is None else f"{page}/{change.webhook_id}"


def _finish(call: _RotateCall, keep_old: timedelta | None, *, is_dry_run: bool) -> dict[str, Any]:
    context, settings, say = call.context, call.settings, call.say
    sources = settings.secret_sources
    where, _ = locate_secret(SecretName.WEBHOOK_SECRET_OLD, sources)
    document: dict[str, Any] = {"is_dry_run": is_dry_run, "old_was_in": where or None, "removed_from": []}
    if not where:
        say("There is no old secret: no rotation is under way.")
        return document
    reason = secret_rotation.reason_to_keep_old(
        context.ledger, sources, _shared(settings, settings.repositories), keep_old=keep_old
    )
    if reason is not None:
        raise RefusedError(f"webhook-secret-old stays: {reason.text}", hint=reason.hint)
    if is_dry_run:
        say("webhook-secret-old would be removed: GitHub signs nothing with it any more.")
        return document
    places = secret_rotation.remove_old(context.ledger, sources, actor=actor(), trace_id=call.trace_id)
    if where := locate_secret(SecretName.WEBHOOK_SECRET_OLD, sources)[0]:
        raise ConfigError(f"webhook-secret-old is still found in the {where}", hint="remove it there")
    _, problem = secret_rotation.have_receivers_read(context.home)
    say(f"webhook-secret-old is removed from the {' and the '.join(places)}; the rotation is finished.")
    if problem:
        write_labelled("warning", f"a running receiver still takes it: {problem}", color="yellow")
        write_line("  start the receiver again", err=True)
    others = [place for place in secret_rotation.receivers_with_old(context.ledger) if place != _place(context)]
    if others:
        write_labelled("warning", f"the receiver on {', on '.join(others)} still takes it", color="yellow")
        write_line("  there: `squire secrets rm webhook-secret-old`", err=True)
    return document | {"removed_from": list(places), "problem": problem or None, "still_taken_by": others}


def _place(context: CliContext) -> str:
    """Return where a receiver of this home is, as other machines know it."""
    return f"{machine_name()}:{context.home.state}"
