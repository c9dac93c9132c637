"""The options that select tasks: for the list, for changes of many tasks, for the export."""

from collections.abc import Callable
from typing import Any

import click

from squire_pipelines.cli.context import Decorator
from squire_pipelines.cli.parameters import MOMENT, repository_option, tenant_option
from squire_pipelines.ledger.task_query import KINDS, STATUSES


def _choice(option: str, name: str, choices: tuple[str, ...], noun: str) -> Decorator:
    help_text = f"Select tasks {noun}; may be repeated."
    return click.option(option, name, type=click.Choice(choices), multiple=True, help=help_text)


def _time(option: str, help_text: str) -> Decorator:
    return click.option(option, type=MOMENT, metavar="TIME", help=help_text)


_OPTIONS: dict[str, Decorator] = {
    "status": _choice("--status", "statuses", STATUSES, "in this state"),
    "repository": repository_option,
    "tenant": tenant_option,
    "kind": _choice("--kind", "kinds", KINDS, "of this kind"),
    "cause": click.option(
        "--cause", "causes", multiple=True, help="Select tasks that ended last for this cause; may be repeated."
    ),
    "text": click.option(
        "--text", default="", metavar="WORDS", help="Select tasks whose titles have all of these words."
    ),
    "created-since": _time("--created-since", "Select tasks created at this time or later: a date, or 7d or 12h ago."),
    "created-until": _time("--created-until", "Select tasks created before this time."),
    "ended-since": _time("--ended-since", "Select tasks that ended at this time or later."),
    "ended-until": _time("--ended-until", "Select tasks that ended before this time."),
}


def filter_options(*names: str) -> Decorator:
    """Add the options of these names, or all of them, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names or tuple(_OPTIONS)):
            function = _OPTIONS[name](function)
        return function

    return decorate
