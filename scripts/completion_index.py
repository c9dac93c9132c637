"""Write the index by which a shell's command line is completed; `--check` fails when it is not up to date."""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import click

from scripts.reference_page import write_or_check
from squire_pipelines.agent_names import BUILT_IN
from squire_pipelines.cli.completion import INDEX, MAX_HELP
from squire_pipelines.cli.config_values import default_values, flatten
from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.main import cli
from squire_pipelines.cli.old_names import OLD_COMMANDS
from squire_pipelines.cli.secret_places import OWN_NAMES
from squire_pipelines.planning.template_files import packaged_templates
from squire_pipelines.settings.file import key_text

FILE = Path(__file__).resolve().parents[1] / "squire_pipelines" / "cli" / INDEX


def _shortened(text: str) -> str:
    """Return a help text as a shell shows it, which ends with a word."""
    return textwrap.shorten(text, MAX_HELP, placeholder=" ...")


def _parameter(parameter: click.Parameter) -> dict[str, Any]:
    """Return what completes a parameter's value."""
    content: dict[str, Any] = {}
    if isinstance(parameter.type, click.Choice):
        content["choices"] = list(parameter.type.choices)
    elif isinstance(parameter.type, click.Path | click.File):
        content["path"] = "dir" if isinstance(parameter.type, click.Path) and not parameter.type.file_okay else "file"
    elif kind := getattr(parameter.type, "completes", ""):
        content["kind"] = kind
    if parameter.multiple or parameter.nargs == -1:
        content["is_multiple"] = True
    return content


def _options(command: click.Command) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for parameter in command.params:  # without the help's own, which click makes by the first context that asks
        if isinstance(parameter, click.Option) and not parameter.hidden:
            content = _parameter(parameter) | ({"is_flag": True} if parameter.is_flag or parameter.count else {})
            content |= {"is_config": True} if parameter.name == "config" and command is cli else {}
            text = (parameter.help or "").partition(". ")[0].split("; ")[0].removesuffix(".")
            content |= {"help": _shortened(text)} if text else {}
            options |= dict.fromkeys((*parameter.opts, *parameter.secondary_opts), content)
    of_help = {"is_flag": True, "help": "Show this message and exit"}
    return options | {"-h": of_help, "--help": of_help}


def _node(command: click.Command, context: click.Context, text: str) -> dict[str, Any]:
    content: dict[str, Any] = {"help": _shortened(text), "options": _options(command)}
    if isinstance(command, LazyGroup):
        content["commands"] = {}
        for name in command.list_commands(context):
            entry = command.lazy.get(name)
            inner = command.get_command(context, name)
            if inner is None or inner.hidden or (entry is not None and entry.hidden):
                continue
            line = entry.help if entry is not None else inner.get_short_help_str(limit=MAX_HELP)
            content["commands"][name] = _node(inner, click.Context(inner, parent=context, info_name=name), line)
    else:
        content["arguments"] = [_parameter(one) for one in command.params if isinstance(one, click.Argument)]
    return content


def index() -> str:
    """Return the whole file."""
    values = {
        "agent": list(BUILT_IN),
        "secret": list(OWN_NAMES),
        "setting": [key_text(path) for path, _ in flatten(default_values())],
        "template": [template.name for template in packaged_templates()],
    }
    old = {name: list(one.new) for name, one in OLD_COMMANDS.items() if one.new and " " not in name}
    old |= {"ls": old["list"], "fu": old["followup"]}
    root = _node(cli, click.Context(cli, info_name="squire"), "")
    return json.dumps({"root": root, "old": old, "values": values}, indent=0, sort_keys=False) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, index(), description=__doc__))
