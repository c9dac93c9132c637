"""`squire tasks followup`: a person asks for more work on a task's open pull request."""

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import SUCCEEDED_TASK
from squire_pipelines.cli.request_options import RequestOptions, next_step, request_options
from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger import outcomes, tasks
from squire_pipelines.terminal.output import write_line


@command(
    "followup",
    examples=(
        'squire tasks followup t0m1e2x3a4m5p6l "Add a test for the empty list."',
        "squire tasks followup t0m1e2x3a4m5p6l - < remarks.md",
    ),
)
@click.argument("task_id", metavar="ID", type=SUCCEEDED_TASK)
@request_options
@json_option
@with_context
def followup(context: CliContext, /, task_id: str, *, as_json: bool, **options: object) -> None:
    """Ask for more work on a task's open pull request.

    The request becomes a new task at once, whose commits are added to the same branch and pull request; nothing is
    overwritten. Of a task that is a follow-up itself, that is the pull request which it added to.
    """
    request = RequestOptions(context, **options)  # type: ignore[arg-type] # click parses what `request_options` declares
    with context.ledger.read() as tx:
        task = tasks.get(tx, task_id)
        branches = (task.branch, task.base_branch)
        pulls = {branch: outcomes.of_branch(tx, task.repository, branch) for branch in branches}
    branch, outcome = next(((name, pull) for name, pull in pulls.items() if pull is not None), (None, None))
    if branch is None or outcome is None:
        raise RefusedError(
            f"the task {task_id} has no open pull request",
            hint=f"ask for new work with `squire tasks new {task.repository}`",
        )
    made = request.create(task.repository, base_branch=branch, compare=False)
    if as_json:
        emit_json({**made.as_json(), "pull_request": outcome.pr_url})
        return
    write_line(f"{made.row.id}: {made.row.status}, for pull request #{outcome.pr_number} of {task.repository}")
    write_line(next_step(made.row))
