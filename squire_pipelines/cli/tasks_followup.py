"""`squire tasks followup`: more work on a task's own open pull request, on top of what is there."""

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import TASK_ID
from squire_pipelines.cli.tasks_new import read_prompt, title_of, wish, wish_options
from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger import outcomes, tasks


@command(
    "followup",
    examples=(
        'squire tasks followup t0m1e2x3a4m5p6l --prompt "Add a test for the empty list."',
        "squire tasks followup t0m1e2x3a4m5p6l --prompt - < remarks.md",
    ),
)
@click.argument("task_id", metavar="ID", type=TASK_ID)
@wish_options
@json_option
@pass_cli_context
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

    It becomes a task of its own, whose commits are added to the same branch and pull request; nothing is overwritten.
    """
    text = read_prompt(prompt)
    line = title_of(title, text)
    with context.ledger.write() as tx:
        task = tasks.get(tx, task_id)
        outcome = outcomes.of_branch(tx, task.repository, task.branch)
        if outcome is None:
            raise RefusedError(
                f"the task {task_id} has no open pull request",
                hint=f"ask for new work: squire tasks new {task.repository}",
            )
        signal, trace_id = wish(tx, task.repository, line, text, allow_protected=allow_protected, branch=task.branch)
    if as_json:
        emit_json(
            {
                "repository": task.repository,
                "signal": signal.ref,
                "title": line,
                "trace_id": trace_id,
                "pull_request": outcome.pr_url,
            }
        )
        return
    click.echo(f"noted {signal.ref} for pull request #{outcome.pr_number} of {task.repository}; trace {trace_id}")
    click.echo("`squire dev` (or `squire run`) plans it; its commits are added to the same branch.")
