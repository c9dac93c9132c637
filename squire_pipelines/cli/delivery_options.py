"""The options that select deliveries, and how one is shown on a line: for the list, the tail and the replay."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from squire_pipelines.cli.context import Columns, Decorator
from squire_pipelines.cli.parameters import MOMENT, repository_option
from squire_pipelines.domain.deliveries import DeliverySource, DeliveryState

MAX_NAME = 200


class _Name(click.ParamType[str]):
    """A name as GitHub or a sender writes it."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name. Raises click.BadParameter for what can be none."""
        text = str(value).strip()
        if not text or len(text) > MAX_NAME or not text.isprintable():
            self.fail(f"a name has 1 to {MAX_NAME} printable signs", param, ctx)
        return text


def _named(option: str, help_text: str) -> Decorator:
    return click.option(option, type=_Name(), metavar="NAME", help=help_text)


def _state(function: Callable[..., Any]) -> Callable[..., Any]:
    choice = click.Choice([state.value for state in DeliveryState])
    return click.option("--state", type=choice, help="Select only those in this state.")(function)


_OPTIONS: dict[str, Decorator] = {
    "repository": repository_option,
    "event": _named("--event", "Select only this event, such as issues."),
    "action": _named("--action", "Select only this action of the event, such as opened."),
    "sender": _named("--sender", "Select only what this account did; that of an App with or without [bot]."),
    "source": _named("--source", "Select only what came from here: github, another sender, cli, repair, installation."),
    "state": _state,
    "filtered-by": _named("--filtered-by", "Select only what this rule filtered."),
    "since": click.option(
        "--since", type=MOMENT, metavar="TIME", help="Select what came at this time or later: a date, or 7d or 12h ago."
    ),
    "until": click.option("--until", type=MOMENT, metavar="TIME", help="Select what came before this time."),
}


def delivery_options(*names: str) -> Decorator:
    """Add the options of these names, or all of them, in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names or tuple(_OPTIONS)):
            function = _OPTIONS[name](function)
        return function

    return decorate


def event_of(row: Mapping[str, Any]) -> str:
    """Return an event with its action, such as `issues.opened`."""
    return ".".join(part for part in (row["event"], row["action"]) if part)


COLUMNS: Columns = {
    "id": "id",
    "received": "received_at",
    "source": lambda row: "" if row["source"] == DeliverySource.GITHUB else row["source"],
    "event": event_of,
    "repository": "repository",
    "sender": "sender",
    "state": "state",
    "filtered by": "filtered_by",
    "tries": lambda row: row["tries"] or "",
    "error": "error",
}
"""The columns of a list of deliveries."""
