"""The old product's commands: each runs what it is now, and shows that on standard error."""

import os
import shlex
from typing import Any

import click

from squire_pipelines.cli.failures import note
from squire_pipelines.cli.lazy import CONTEXT_SETTINGS, LazyGroup
from squire_pipelines.cli.old_names import OLD_COMMANDS, NewLine, OldOption, Words, new_line

_RAW = {**CONTEXT_SETTINGS, "ignore_unknown_options": True, "help_option_names": []}
_END = "--"


class _OldCommand(click.Command):
    """A command whose words after `--` are handed on as they are, with the sign."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the old options; what is none of them is handed on."""
        place = args.index(_END) if _END in args else len(args)
        left = super().parse_args(ctx, args[:place])
        ctx.params["rest"] = (*ctx.params["rest"], *args[place:])
        return left


def run_new(old: str, line: NewLine) -> None:
    """Show on standard error what an old command line is now, and run it; the process ends with its exit code."""
    ctx = click.get_current_context()
    root = ctx.find_root()
    config = ("--config", str(root.params["config"])) if root.params.get("config") else ()
    before = (*config, *(("--verbose",) if root.params.get("verbose") and not line.before else line.before))
    if line.repeats and line.rest and "--help" not in line.rest:
        line = _again(ctx, line)
    if line.command:
        typed = (*line.variables, "squire", *map(shlex.quote, (*line.command, *line.options)))
        note(f"`squire {old}` is now `{' '.join(typed)}`")
    for remark in line.remarks:
        note(remark)
    for variable in line.variables:
        name, _, value = variable.partition("=")
        os.environ[name] = value  # for the processes that the command starts, too
    words = (*line.command, *line.options, *line.rest) if line.command else (*line.rest, *line.options)
    root.command.main([*before, *words], prog_name="squire", standalone_mode=True)


def _again(ctx: click.Context, line: NewLine) -> NewLine:
    """Return the line that asks for the words of a task again. Raises NotFoundError, RefusedError."""
    from squire_pipelines.cli.context import CliContext  # noqa: PLC0415 - seldom needed
    from squire_pipelines.domain.branches import DEFAULT_BRANCH  # noqa: PLC0415 - likewise
    from squire_pipelines.domain.tasks import TaskStatus  # noqa: PLC0415 - likewise
    from squire_pipelines.errors import RefusedError  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger import tasks  # noqa: PLC0415 - likewise

    task_id, *rest = line.rest
    context = ctx.find_object(CliContext) or CliContext()
    with context.ledger.read() as tx:
        task = tasks.get(tx, task_id)
    if task.status not in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
        raise RefusedError(
            f"the task {task_id} is {task.status}, and has not failed",
            hint=f"`squire tasks followup {task_id}` asks for more work on its pull request while that is open, and "
            f"`squire tasks new {task.repository}` for new work",
        )
    words: Words = (task.repository, f"--title={task.title}", f"--prompt={task.spec.prompt}", *rest)
    base = () if task.base_branch == DEFAULT_BRANCH else ("--base", task.base_branch)
    remark = f"the words of {task_id} are asked for again, as a task with a branch of its own"
    return NewLine(line.before, ("tasks", "new"), (*base, *line.options), words, remarks=(remark,))


def _parameter(option: OldOption) -> click.Option:
    return click.Option([*option.names, option.key], is_flag=option.is_flag)


def _alias(old: str) -> click.Command:
    command = OLD_COMMANDS[old]

    def run(rest: Words, **values: Any) -> None:
        run_new(old, new_line(command, values, rest))

    return _OldCommand(
        old.rpartition(" ")[2],
        params=[*map(_parameter, command.options), click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        callback=run,
        help=f"Run `squire {' '.join(command.new)}`, whose old name this is.",
        context_settings=_RAW,
        add_help_option=False,
        hidden=True,
    )


new, start, stop, retry, followup, ps, watch, clean, webhook = (
    _alias(name) for name in ("new", "start", "stop", "retry", "followup", "ps", "watch", "clean", "webhook")
)
list_, help_ = _alias("list"), _alias("help")

steward = LazyGroup(name="steward", help="Run the old commands init, run, watch, status, signals, tasks.", hidden=True)
for _old in OLD_COMMANDS:
    if _old.startswith("steward "):
        steward.add_command(_alias(_old))
