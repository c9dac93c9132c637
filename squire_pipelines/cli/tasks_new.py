"""`squire tasks new|followup`: a person's request becomes a signal, and a collection is asked for."""

import hashlib
import sys
from collections.abc import Callable

import click
from sqlalchemy import func, select

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import REPOSITORY, TASK_ID
from squire_pipelines.cli.person import actor
from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.identity import new_id, new_trace_id
from squire_pipelines.domain.signals import ManualTask, Signal
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.domain.verdicts import judge_signal
from squire_pipelines.errors import ConfigError, RefusedError
from squire_pipelines.ledger import collections as collection_rows
from squire_pipelines.ledger import deliveries, outcomes, tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_line

MAX_TITLE, MAX_PROMPT = 200, 50_000
_TITLE_FROM_PROMPT = 80


def _checked(text: str, noun: str, most: int) -> str:
    if not text:
        raise click.BadParameter(f"the {noun} is empty", param_hint=f"--{noun}")
    if len(text) > most:
        raise click.BadParameter(f"the {noun} has more than {most} characters", param_hint=f"--{noun}")
    return text


def read_prompt(prompt: str) -> str:
    """Return the prompt, or standard input for `-`. Raises BadParameter when it is empty or too long."""
    # One more than allowed is enough to see that it is too long.
    text = sys.stdin.read(MAX_PROMPT + 1) if prompt == "-" else prompt
    return _checked(plain(text).strip(), "prompt", MAX_PROMPT)


def title_of(title: str | None, prompt: str) -> str:
    """Return the title, or else the prompt's first line, cut. Raises BadParameter."""
    if title is not None:
        return _checked(" ".join(plain(title).split()), "title", MAX_TITLE)
    return one_line(next(line for line in prompt.splitlines() if line.strip()), limit=_TITLE_FROM_PROMPT)


def _known_repository(context: CliContext, tx: Transaction, repository: str) -> str:
    """Return the repository's name as Squire writes it, since GitHub takes any case. Raises ConfigError."""
    for known in context.settings.repositories:
        if known.lower() == repository.lower():
            return known
    seen = tx.execute(
        select(collections.c.repository).where(func.lower(collections.c.repository) == repository.lower()).limit(1)
    ).scalar_one_or_none()
    if seen is None:
        raise ConfigError(
            f"{repository} is not one of Squire's repositories",
            hint=f"add it to `repositories` in {context.config_path}",
        )
    return str(seen)


def record_request(
    tx: Transaction,
    repository: str,
    title: str,
    text: str,
    *,
    allow_protected: tuple[str, ...] = (),
    branch: str | None = None,
    agent: AgentOrder | None = None,
) -> tuple[Signal, str]:
    """Record a request as a signal and ask for a collection; return the signal and the trace id."""
    trace_id = new_trace_id()
    signal = Signal(
        repository=repository,
        key=new_id("m", tx.now),
        version=hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16],
        title=title,
        url="",
        updated_at=tx.now,
        details=ManualTask(
            author=actor().removeprefix("cli:"),
            body=text,
            allow_protected=allow_protected,
            branch=branch,
            agent=agent,
        ),
    )
    signal = judge_signal(signal, TrustRules(), {})  # a person's own word, whatever the rules
    collection_rows.add_manual_signal(tx, signal, trace_id=trace_id)
    deliveries.request_collection(tx, [repository], source=deliveries.COMMAND, trace_id=trace_id)
    return signal, trace_id


def request_options(callback: Callable[..., object]) -> Callable[..., object]:
    """Add the options of a request: `title`, `prompt` and `allow_protected`."""
    for option in (
        click.option(
            "--allow-protected",
            multiple=True,
            metavar="GLOB",
            help="Allow a change of this protected path, which a person still approves; may be repeated.",
        ),
        click.option("--prompt", required=True, help="Say what is to be done; - reads it from standard input."),
        click.option("--title", help="Name the task in one line; by default the prompt's first line."),
    ):
        callback = option(callback)
    return callback


def _order(settings: Settings, repository: str, agent: str | None, model: str | None) -> AgentOrder | None:
    """Return which agent a person wants, None for that of the settings. Raises ConfigError for one that cannot be."""
    if agent is None and model is None:
        return None
    from squire_pipelines.execution.startable import check_order  # noqa: PLC0415 - the adapters, only for an order

    order = AgentOrder(agent=agent or settings.choice_rules(repository).default, model=model)
    check_order(settings, repository, order)
    return order


@command(
    "new",
    examples=(
        'squire tasks new owner/name --title "Drop Python 3.9" --prompt "Remove the code for Python 3.9."',
        "squire tasks new owner/name --prompt - < request.md",
        'squire tasks new owner/name --agent claude-code --model claude-opus-4-5 --prompt "Speed up the parser."',
    ),
)
@click.argument("repository", type=REPOSITORY)
@click.option("--model", help="Have this model called; its provider's settings must allow it.")
@click.option(
    "--agent", help="Have this agent do it, whatever the settings' rules say: a kind or a table [agents.NAME]."
)
@request_options
@json_option
@with_context
def new(
    context: CliContext,
    repository: str,
    title: str | None,
    prompt: str,
    allow_protected: tuple[str, ...],
    *,
    agent: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Ask for a piece of work in your own words.

    The request is recorded as a signal of the repository, and the next plan, which is asked for at once, makes a task
    of it.
    """
    text = read_prompt(prompt)
    line = title_of(title, text)
    with context.ledger.write() as tx:
        name = _known_repository(context, tx, repository)
        order = _order(context.settings, name, agent, model)
        signal, trace_id = record_request(tx, name, line, text, allow_protected=allow_protected, agent=order)
    if as_json:
        emit_json({"repository": name, "signal": signal.ref, "title": line, "trace_id": trace_id})
        return
    write_line(f"recorded {signal.ref} for {name}; trace {trace_id}")
    write_line("Next: `squire dev` or `squire run` makes a task of it, which `squire tasks list` shows.")


@command(
    "followup",
    examples=(
        'squire tasks followup t0m1e2x3a4m5p6l --prompt "Add a test for the empty list."',
        "squire tasks followup t0m1e2x3a4m5p6l --prompt - < remarks.md",
    ),
)
@click.argument("task_id", metavar="ID", type=TASK_ID)
@request_options
@json_option
@with_context
def followup(
    context: CliContext,
    task_id: str,
    title: str | None,
    prompt: str,
    allow_protected: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Ask for more work on a task's open pull request.

    The request becomes a new task, whose commits are added to the same branch and pull request; nothing is overwritten.
    """
    text = read_prompt(prompt)
    line = title_of(title, text)
    with context.ledger.write() as tx:
        task = tasks.get(tx, task_id)
        outcome = outcomes.of_branch(tx, task.repository, task.branch)
        if outcome is None:
            raise RefusedError(
                f"the task {task_id} has no open pull request",
                hint=f"ask for new work with `squire tasks new {task.repository}`",
            )
        signal, trace_id = record_request(
            tx, task.repository, line, text, allow_protected=allow_protected, branch=task.branch
        )
    if as_json:
        request = {"repository": task.repository, "signal": signal.ref, "title": line, "trace_id": trace_id}
        emit_json({**request, "pull_request": outcome.pr_url})
        return
    write_line(f"recorded {signal.ref} for pull request #{outcome.pr_number} of {task.repository}; trace {trace_id}")
    write_line("Next: `squire dev` or `squire run` makes a task of it, and its commits are added to the same branch.")
