"""`squire tasks new`: a wish in a person's own words becomes a signal, and a collection is asked for."""

import hashlib
import sys
from collections.abc import Callable

import click
from sqlalchemy import func, select

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import REPOSITORY
from squire_pipelines.cli.tasks_change import actor
from squire_pipelines.cli.text import plain
from squire_pipelines.domain.identity import new_id, new_trace_id
from squire_pipelines.domain.signals import ManualTask, Signal
from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger import collections as collection_rows
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections

MAX_TITLE, MAX_PROMPT = 200, 50_000
_TITLE_FROM_PROMPT = 80


def read_prompt(prompt: str) -> str:
    """The prompt as given, or standard input for `-`. Raises BadParameter when it is empty or too long."""
    # One more than allowed is enough to see that it is too long.
    text = sys.stdin.read(MAX_PROMPT + 1) if prompt == "-" else prompt
    text = plain(text).strip()
    if not text:
        raise click.BadParameter("the prompt is empty", param_hint="--prompt")
    if len(text) > MAX_PROMPT:
        raise click.BadParameter(f"the prompt has more than {MAX_PROMPT} characters", param_hint="--prompt")
    return text


def title_of(title: str | None, prompt: str) -> str:
    """The title as given, else the prompt's first line, cut. Raises BadParameter."""
    first = next(line.strip() for line in prompt.splitlines() if line.strip())
    text = " ".join(plain(title or "").split())
    if title is not None and not text:
        raise click.BadParameter("the title is empty", param_hint="--title")
    if len(text) > MAX_TITLE:
        raise click.BadParameter(f"the title has more than {MAX_TITLE} characters", param_hint="--title")
    return text or (first if len(first) <= _TITLE_FROM_PROMPT else first[: _TITLE_FROM_PROMPT - 1] + "…")


def _known_repository(context: CliContext, tx: Transaction, repository: str) -> str:
    """The repository's name as we have it: GitHub takes names in any case. Raises ConfigError."""
    for known in context.settings.repositories:
        if known.lower() == repository.lower():
            return known
    seen = tx.execute(
        select(collections.c.repository).where(func.lower(collections.c.repository) == repository.lower()).limit(1)
    ).scalar_one_or_none()
    if seen is None:
        raise ConfigError(
            f"{repository} is none of Squire's repositories",
            hint=f"add it to `repositories` in {context.config or context.home.config_file}",
        )
    return str(seen)


def wish(
    tx: Transaction,
    repository: str,
    title: str,
    text: str,
    *,
    allow_protected: tuple[str, ...] = (),
    branch: str | None = None,
) -> tuple[Signal, str]:
    """Keep a wish and ask for a collection; the signal and the trace."""
    trace_id = new_trace_id()
    signal = Signal(
        repository=repository,
        key=new_id("m", tx.now),
        version=hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16],
        title=title,
        url="",
        updated_at=tx.now,
        details=ManualTask(
            author=actor().removeprefix("cli:"), body=text, allow_protected=allow_protected, branch=branch
        ),
    )
    collection_rows.add_manual_signal(tx, signal)
    deliveries.request_collection(tx, [repository], source="cli", trace_id=trace_id)
    return signal, trace_id


def wish_options(callback: Callable[..., object]) -> Callable[..., object]:
    """The options of a wish: `title`, `prompt` and `allow_protected`."""
    for option in (
        click.option(
            "--allow-protected",
            multiple=True,
            metavar="GLOB",
            help="A protected path that the work needs; a person still approves its change. May be repeated.",
        ),
        click.option("--prompt", required=True, help="What is to be done; - reads it from standard input."),
        click.option("--title", help="One line; by default the prompt's first."),
    ):
        callback = option(callback)
    return callback


@command(
    "new",
    examples=(
        'squire tasks new owner/name --title "Drop Python 3.9" --prompt "Remove the code for Python 3.9."',
        "squire tasks new owner/name --prompt - < wish.md",
    ),
)
@click.argument("repository", type=REPOSITORY)
@wish_options
@json_option
@pass_cli_context
def new(
    context: CliContext,
    repository: str,
    title: str | None,
    prompt: str,
    allow_protected: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Ask for a piece of work in your own words.

    It is kept as a signal of the repository; the next plan makes a task of it, which is asked for at once.
    """
    text = read_prompt(prompt)
    line = title_of(title, text)
    with context.ledger.write() as tx:
        name = _known_repository(context, tx, repository)
        signal, trace_id = wish(tx, name, line, text, allow_protected=allow_protected)
    if as_json:
        emit_json({"repository": name, "signal": signal.ref, "title": line, "trace_id": trace_id})
        return
    click.echo(f"noted {signal.ref} for {name}; trace {trace_id}")
    click.echo("`squire dev` (or `squire run`) plans it; then `squire tasks list` shows the task.")
