"""Write docs/reference/cli.md from the commands themselves; `--check` fails when the page is not up to date."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from scripts.reference_page import write_or_check
from squire_pipelines.cli.lazy import CommandWithExamples, LazyGroup
from squire_pipelines.cli.main import cli
from squire_pipelines.cli.old_names import OLD_COMMANDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
_HEAD = """\
# The `squire` command

<!-- Written by scripts/cli_reference.py from the commands themselves; do not edit. -->

A command is a noun and then a verb. Every list and every `show` has `--json`. Results go to standard output, hints
and errors to standard error. Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 not reachable, 5 refused by
policy or budget, 6 partly (some repositories could not be used or read, each with its reason; the others were served),
130 interrupted, 141 nobody reads the output any more (`squire tasks list | head -1`).

Completion: `eval "$(squire completion bash)"` in bash, `eval "$(squire completion zsh)"` in zsh,
`squire completion fish | source` in fish. Ids of tasks, plans and schedules, names of repositories, agents and
templates, and keys of settings are completed as well.
"""
_OLD_NAMES = """\
## Old names

These names work, and show the new command line on standard error. Their options are in
[Coming from the old Squire](../guide/coming-from-the-old-squire.md#the-commands).
"""


def _commands(group: LazyGroup, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        if name in group.lazy and group.lazy[name].hidden:
            continue
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        yield inner.command_path, command, inner
        if isinstance(command, LazyGroup):
            yield from _commands(command, inner)


def _help(command: click.Command) -> str:
    text = command.help or ""
    return "\n".join(line.strip() for line in text.replace("\b", "").splitlines()).strip()


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1] and "--help" not in record[0]:
            names, text = record
            yield f"| `{names.replace('|', chr(92) + '|')}` | {text.replace('|', chr(92) + '|')} |"


def page() -> str:
    """Return the whole page."""
    context = click.Context(cli, info_name="squire")
    parts = [_HEAD]
    for path, command, inner in [("squire", cli, context), *_commands(cli, context)]:
        parts.append(f"{'##' if path.count(' ') < 2 else '###'} `{path}`\n\n{_help(command)}\n")  # noqa: PLR2004 - a group's
        usage = " ".join(command.collect_usage_pieces(inner))
        parts.append(f"```console\n{path} {usage}\n```\n")
        if options := list(_options(command, inner)):
            parts.append("\n".join(["| option | is |", "|---|---|", *options]) + "\n")
        if isinstance(command, CommandWithExamples):
            parts.append("\n".join(["```sh", *command.examples, "```"]) + "\n")
    rows = [
        f"| `squire {old}` | `squire {' '.join(command.new)}` |" for old, command in OLD_COMMANDS.items() if command.new
    ]
    parts.append(
        "\n".join(
            [
                _OLD_NAMES,
                "| old | new |",
                "|---|---|",
                *rows,
            ]
        )
    )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
