"""`squire tasks new`: a person's request becomes a task at once, word for word, with no planner in between."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import BRANCH, REPOSITORY
from squire_pipelines.cli.request_dialogue import RequestDialogue, may_ask
from squire_pipelines.cli.request_options import (
    MadeTask,
    RequestOptions,
    next_step,
    request_options,
)
from squire_pipelines.cli.request_plan import ask_for_advice, plan_options
from squire_pipelines.cli.schedule_options import ScheduleOptions, schedule_options
from squire_pipelines.cli.tasks_watch import watch_to_end
from squire_pipelines.cli.template_options import filled_template, template_options
from squire_pipelines.domain.branches import DEFAULT_BRANCH, parse_own_branch
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.execution.request_making import known_repository
from squire_pipelines.planning.task_templates import FilledTemplate
from squire_pipelines.terminal.output import write_line


@command(
    "new",
    examples=(
        'squire tasks new owner/name "Remove the code for Python 3.9."',
        "squire tasks new https://github.com/owner/name --title 'Drop Python 3.9' - < request.md",
        "squire tasks new owner/name --template fix-ci --param check=lint --param branch=main",
        "squire tasks new   # asks where and what, on a terminal",
        'squire tasks new owner/name "Speed up the parser." --agent claude-code --model claude-opus-4-5',
        'squire tasks new owner/name "Use the new parser." --depends-on t0m1e2x3a4m5p6l --priority low --no-start',
        'squire tasks new owner/name "Fix the typo in README.md." --wait && git pull',
        'squire tasks new owner/name "Update the dependencies." --every "0 3 * * 1" --timezone Europe/Berlin',
        'squire tasks new owner/name "Remove the old flag." --at 2027-01-15T09:00 --timezone America/New_York',
    ),
)
@click.argument("repository", type=REPOSITORY, required=False)
@request_options
@template_options
@plan_options
@click.option(
    "--branch",
    type=BRANCH,
    metavar="NAME",
    help="Name the branch of its pull request, which begins with squire/, or as `publishing.branch_prefix` says; by "
    "default one of the id and the title.",
)
@click.option(
    "--base",
    type=BRANCH,
    metavar="NAME",
    help="Name the branch that its pull request goes into; by default the default branch, as it is at the start.",
)
@schedule_options
@click.option("--wait", is_flag=True, help="Follow the task to its end; the exit code is 1 unless it succeeds.")
@json_option
@with_context
def new(
    context: CliContext,
    /,
    repository: str | None,
    *,
    template: str | None,
    params: tuple[tuple[str, str], ...],
    plan: bool,
    accept: bool,
    branch: str | None,
    base: str | None,
    every: str | None,
    at: str | None,
    timezone: str | None,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask for a piece of work in your own words, or in those of a template.

    The request becomes a task at once, word for word: no planner and no model stands in between. It starts as
    `planner.approve` says, and with --no-start when you say so. A task, or an open pull request, that says nearly the
    same is named; yours is made all the same. On a terminal, what is not said is asked for: the repository, what is to
    be done, what a template needs. The task is then shown and made when you agree. With --every or --at it is kept as
    a schedule, which makes such a task at each of its times.

    With --plan a model proposes to split or sharpen the request, at a cost that is shown. On a terminal you choose;
    elsewhere the request is made as you wrote it, or with --accept what the model proposes. Where no model answers, the
    request is made as you wrote it.
    """
    schedule = ScheduleOptions.parse(every, at, timezone)
    _check_plan(plan=plan, accept=accept, is_plain=branch is None and schedule is None)
    if wait and (schedule is not None or options["no_start"]):
        raise click.UsageError("--wait is for a task that starts now: leave out --every, --at and --no-start")
    dialogue = RequestDialogue(context) if may_ask(context, as_json=as_json) else None
    name = _repository(context, repository, dialogue)
    base, branch = base or DEFAULT_BRANCH, _own_branch(context, branch)
    if dialogue is not None and template is None and (options["text"], options["prompt"]) == (None, None):
        # What is wrong with the options is said before a person has written a text.
        _request(context, {**options, "text": "?"}, None).spec(name, base_branch=base)
        options["text"] = dialogue.ask_text()
    filled = filled_template(context, template, params, repository=name, dialogue=dialogue)
    request = _request(context, options, filled)
    if plan:
        planned = _make_planned(
            context, request, name, base, None if accept else dialogue, accept=accept, as_json=as_json
        )
        if wait:
            watch_to_end(context, [task.row.id for task in planned])
        return
    if dialogue is not None and dialogue.has_asked:
        title = options["title"] or (filled.title if filled is not None else None)
        request = dialogue.confirm(
            request,
            lambda text: _request(context, {**options, "title": title, "text": text, "prompt": None}, None),
            name,
            base_branch=base,
            branch=branch,
            further=schedule.described() if schedule is not None else {},
        )
    if schedule is not None:
        schedule.create(context, request, name, base_branch=base, branch=branch, as_json=as_json)
        return
    made = request.create(name, base_branch=base, branch=branch)
    if dialogue is None or not dialogue.has_asked:
        made.warn()
    if as_json:
        emit_json(made.as_json())
    else:
        _write_made([made])
    if wait:
        watch_to_end(context, [made.row.id])


def _check_plan(*, plan: bool, accept: bool, is_plain: bool) -> None:
    """Refuse options that do not go together. Raises UsageError."""
    if accept and not plan:
        raise click.UsageError("--accept is for what --plan proposes")
    if plan and not is_plain:
        raise click.UsageError("--plan may make several tasks now: leave out --branch, --every and --at")


def _own_branch(context: CliContext, branch: str | None) -> str | None:
    """Return the branch with the prefix of Squire's branches. Raises BadParameter."""
    try:
        return parse_own_branch(branch, context.settings.publishing.branch_prefix) if branch is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--branch") from error


def _repository(context: CliContext, repository: str | None, dialogue: RequestDialogue | None) -> str:
    """Return the repository as Squire writes it. Raises UsageError, ConfigError, Abort."""
    if repository is None:
        if dialogue is None:
            raise click.UsageError("name the repository and say what is to be done: owner/name TEXT")
        return dialogue.ask_repository()
    with context.ledger.read() as tx:
        return known_repository(tx, context.settings, repository, config=context.config_path)


def _request(context: CliContext, options: Mapping[str, Any], template: FilledTemplate | None) -> RequestOptions:
    """Return the request that the options of `request_options` describe. Raises UsageError, BadParameter."""
    return RequestOptions(context, template=template, **options)


def _make_planned(
    context: CliContext,
    request: RequestOptions,
    repository: str,
    base: str,
    dialogue: RequestDialogue | None,
    *,
    accept: bool,
    as_json: bool,
) -> Sequence[MadeTask]:
    """Make the request, or what a model proposes in its place when the person says so. Raises Abort, ConfigError."""
    spec = request.spec(repository, base_branch=base)
    if dialogue is not None:
        dialogue.show(request, spec, repository, branch=None, further={})
    advice = ask_for_advice(context, repository, spec)
    if not as_json:
        advice.write()
    if dialogue is not None:
        accept = dialogue.choose(has_proposal=bool(advice.specs)) == "p"
    is_accepted = accept and bool(advice.specs)
    if is_accepted:
        made = request.create_proposed(repository, advice.specs, base_branch=base)
    else:
        made = (request.create(repository, base_branch=base),)
        if dialogue is None:
            made[0].warn()
    if as_json:
        tasks = [task.as_json() for task in made]
        emit_json({**tasks[0], "tasks": tasks, "proposal": advice.as_json(), "accepted": is_accepted})
    else:
        _write_made(made)
    return made


def _write_made(made: Sequence[MadeTask]) -> None:
    for task in made:
        write_line(f"{task.row.id}: {task.row.status}" + (f"  {one_line(task.row.title)}" if len(made) > 1 else ""))
    write_line(next_step(made[0].row))
