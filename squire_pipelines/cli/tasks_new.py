"""`squire tasks new`: a person's request becomes a task at once, word for word, with no planner in between."""

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import BRANCH, OWN_BRANCH, REPOSITORY
from squire_pipelines.cli.request_options import (
    RequestOptions,
    known_repository,
    next_step,
    request_options,
)
from squire_pipelines.cli.template_options import filled_template, template_options
from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.terminal.output import write_line


@command(
    "new",
    examples=(
        'squire tasks new owner/name "Remove the code for Python 3.9."',
        "squire tasks new https://github.com/owner/name --title 'Drop Python 3.9' - < request.md",
        "squire tasks new owner/name --template fix-ci --param check=lint --param branch=main",
        'squire tasks new owner/name "Speed up the parser." --agent claude-code --model claude-opus-4-5',
        'squire tasks new owner/name "Use the new parser." --depends-on t0m1e2x3a4m5p6l --priority low --no-start',
    ),
)
@click.argument("repository", type=REPOSITORY)
@request_options
@template_options
@click.option(
    "--branch",
    type=OWN_BRANCH,
    metavar="NAME",
    help="Name the branch of its pull request, which begins with squire/; by default one of the id and the title.",
)
@click.option(
    "--base",
    type=BRANCH,
    metavar="NAME",
    help="Name the branch that its pull request goes into; by default the default branch, as it is at the start.",
)
@json_option
@with_context
def new(
    context: CliContext,
    /,
    repository: str,
    *,
    template: str | None,
    params: tuple[tuple[str, str], ...],
    branch: str | None,
    base: str | None,
    as_json: bool,
    **options: object,
) -> None:
    """Ask for a piece of work in your own words, or in those of a template.

    The request becomes a task at once, word for word: no planner and no model stands in between. It starts as
    `planner.approve` says, and with --no-start when you say so. A task, or an open pull request, that says nearly the
    same is named; yours is made all the same.
    """
    with context.ledger.read() as tx:
        name = known_repository(context, tx, repository)
    filled = filled_template(context, template, params, repository=name)
    request = RequestOptions(context, template=filled, **options)  # type: ignore[arg-type] # click parses what `request_options` declares
    made = request.create(name, base_branch=base or DEFAULT_BRANCH, branch=branch)
    made.warn()
    if as_json:
        emit_json(made.as_json())
        return
    write_line(f"{made.row.id}: {made.row.status}")
    write_line(next_step(made.row))
