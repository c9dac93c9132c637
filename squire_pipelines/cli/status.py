"""`squire status`: what runs, what waits for what, what is wrong and what to do, on one screen."""

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, seconds_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID, tenant_option
from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.errors import ConfigError, ExitCode
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from rich.text import Text

    from squire_pipelines.cli.status_screen import ScreenLine
    from squire_pipelines.runtime.status_facts import StatusFacts
    from squire_pipelines.settings.model import Settings

JSON_VERSION = 1
_FAIL_ON = {"down": (HealthLevel.DOWN,), "degraded": (HealthLevel.DOWN, HealthLevel.DEGRADED), "never": ()}


@command(
    "status",
    examples=(
        "squire status                      # what was seen last, within a second",
        "squire status --now                # ask the engine, GitHub and the models first",
        "squire status --watch              # draw it anew every two seconds, until Ctrl-C",
        "squire status --json --fail-on degraded",
    ),
)
@click.argument("task_ids", type=TASK_ID, nargs=-1, metavar="[TASK]...", required=False)
@click.option("--now", "asks", is_flag=True, help="Look at everything anew first; it may take some seconds.")
@click.option("--watch", is_flag=True, help="Draw the screen again and again until Ctrl-C.")
@seconds_option("--interval", 2, "With --watch, draw it this often.", least=0.5, most=3600)
@tenant_option
@click.option(
    "--fail-on",
    type=click.Choice(list(_FAIL_ON)),
    default="down",
    show_default=True,
    help="Exit with 1 when something is down; or degraded, too; or never.",
)
@json_option
@with_context
def status(
    context: CliContext,
    task_ids: tuple[str, ...],
    *,
    asks: bool,
    watch: bool,
    interval: float,
    tenant: str | None,
    fail_on: str,
    as_json: bool,
) -> None:
    """Show what runs, what waits for what, which pull requests are open, what is wrong, and what to do about it.

    How the engine, GitHub, models and the daemon are doing is what a running Squire has seen last, with its age; the
    ledger, the disks and Squire's own processes are looked at each time. It works without a running Squire, too.

    The exit code is 0 when nothing is down, 1 when something is (see --fail-on), 3 when the settings cannot be used.
    With --tenant it shows that tenant's work and alerts alone, and nothing of the machine.
    With a task's id it is `squire tasks show`, as in the old product.
    """
    if task_ids:
        _show_tasks(task_ids, as_json=as_json)
        return
    if watch and as_json:
        raise click.UsageError("--watch and --json do not go together")
    if tenant is not None and asks:
        raise click.UsageError("--now looks at the machine, of which --tenant shows nothing")
    from squire_pipelines.runtime.status_facts import gather, gather_for_tenant  # noqa: PLC0415 - the help starts sooner

    settings, refusal = context.settings_or_last_good()
    looks = _looks_of(context, settings) if asks else None
    read_facts: Callable[[], StatusFacts] = partial(gather, settings, refusal=refusal, looks=looks)
    if tenant is not None:
        read_facts = partial(gather_for_tenant, settings.for_tenant(tenant))
    facts = read_facts()
    if as_json:
        emit_json(json_document(facts))
    elif watch and sys.stdout.isatty():
        facts = _watch(context, facts, read_facts, interval)
    if not as_json:
        for line in _lines(facts):
            _write(line)
    if facts.level in _FAIL_ON[fail_on]:
        raise SystemExit(ExitCode.FAILED)


def _show_tasks(task_ids: tuple[str, ...], *, as_json: bool) -> None:
    from squire_pipelines.cli.failures import note  # noqa: PLC0415 - seldom needed

    note("`squire status TASK` is now `squire tasks show TASK`")
    root = click.get_current_context().find_root()
    options = ["--config", str(root.params["config"])] if root.params.get("config") else []
    words = ["tasks", "show", *task_ids, *(["--json"] if as_json else [])]
    root.command.main([*options, *words], prog_name="squire", standalone_mode=True)


def _looks_of(context: CliContext, settings: "Settings") -> Callable[[], tuple[Condition, ...]]:
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - only to ask anew
    from squire_pipelines.health.looks import HealthLooks  # noqa: PLC0415 - likewise
    from squire_pipelines.runtime.health import all_probes  # noqa: PLC0415 - Docker's client and httpx

    with suppress(ConfigError):  # then the conditions say what is locked
        unlock_store(context, settings.secret_sources)
    return HealthLooks(settings.home, all_probes(lambda: settings)).look


def json_document(facts: "StatusFacts") -> dict[str, Any]:
    """Return what `--json` writes; its keys stay as they are, and others may join them."""
    from squire_pipelines.health.document import condition_documents  # noqa: PLC0415 - the help starts sooner

    work = facts.work
    return {
        "version": JSON_VERSION,
        "at": facts.now,
        "home": facts.home,
        "level": facts.level,
        "conditions": condition_documents(facts.conditions, now=facts.now),
        "never_looked_at": facts.unknown,
        "problem": facts.problem or None,
        "debugging": facts.debugging,
        "alerts": [
            {"rule": one.rule, "subject": one.subject, "severity": one.severity, "since": one.began_at}
            | {"reason": one.reason, "hint": one.hint}
            for one in facts.alerts
        ],
        "tasks": None if work is None else work.counts,
        "attempts": None if work is None else {"total": work.attempts_total, "first": work.attempts},
        "waiting": None if work is None else {"tasks_read": facts.waits_read, "groups": facts.waits},
        "oldest_proposal": None if work is None else work.oldest_proposal,
        "machines": facts.machines,
        "pull_requests": None if work is None else {"total": work.pulls_total, "first": work.pulls},
    }


def _lines(facts: "StatusFacts") -> "tuple[ScreenLine, ...]":
    from squire_pipelines.cli.status_screen import screen_lines  # noqa: PLC0415 - JSON output needs none

    columns, rows = shutil.get_terminal_size((80, 24))
    return screen_lines(facts, width=columns, height=rows)


def _write(line: "ScreenLine") -> None:
    write_line(click.style(line.text, fg=line.color, bold=line.is_bold or None))


def _watch(
    context: CliContext, facts: "StatusFacts", gather: Callable[[], "StatusFacts"], interval: float
) -> "StatusFacts":
    from rich.live import Live  # noqa: PLC0415 - only on a terminal

    with Live(_text(facts), console=context.console, auto_refresh=False, screen=True) as live:
        try:
            while True:
                live.update(_text(facts), refresh=True)
                time.sleep(interval)
                facts = gather()
        except KeyboardInterrupt:
            return facts


def _text(facts: "StatusFacts") -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only on a terminal

    text = Text()
    for line in _lines(facts):
        style = " ".join(filter(None, ("bold" if line.is_bold else "", line.color or "")))
        text.append(f"{line.text}\n", style=style)
    return text
