"""Completes a command line from an index of all commands, and from what the settings' file and the ledger name.

It imports no command, writes nothing, asks nobody and waits for nobody: whatever it cannot read, it does not offer.
`scripts/completion_index.py` writes the index from the commands themselves.
"""

import json
import os
import sqlite3
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from squire_pipelines.cli.fast_list import config_path, named_ledger, reading
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import SquireError
from squire_pipelines.home import Home
from squire_pipelines.terminal.output import write_line

VARIABLE = "_SQUIRE_COMPLETE"
INDEX = "completion.json"
MAX_OFFERED = 100
MAX_HELP = 80
_LOCK_WAIT_S = 0.05
_END = "--"

Offer = tuple[str, str]
"""What is offered, and what it is."""


def answer(instruction: str, cli: click.Command) -> bool:
    """Write what completes the command line in `COMP_WORDS`, as the shell's script wants it.

    Args:
        instruction: The variable's value, such as `bash_complete`.
        cli: The command.

    Returns:
        Whether the instruction was one of these; others are for click.
    """
    shell, _, verb = instruction.partition("_")
    kind = get_completion_class(shell)
    if verb != "complete" or kind is None:
        return False
    protocol = kind(cli, {}, "squire", VARIABLE)
    try:
        words, incomplete = protocol.get_completion_args()
        offers = list(complete(words, incomplete, read_index()))
    except (OSError, ValueError, KeyError, SquireError):  # a person who types gets no error instead of an offer
        return True
    for item in offers:
        write_line(protocol.format_completion(item))
    return True


def read_index() -> dict[str, Any]:
    """Return the index of all commands."""
    text = (resources.files("squire_pipelines.cli") / INDEX).read_text(encoding="utf-8")
    index: dict[str, Any] = json.loads(text)
    return index


class _Line:
    """What the words before the incomplete one say.

    Args:
        index: Of all commands.
        words: Without the program's name.
    """

    def __init__(self, index: Mapping[str, Any], words: Sequence[str]) -> None:
        self.index = index
        self.node: Mapping[str, Any] = index["root"]
        self.config: Path | None = None
        self.pending: Mapping[str, Any] | None = None
        self.arguments: list[str] = []
        self.used: set[str] = set()
        self.is_known = True
        self.takes_options = True
        for word in words:
            self._take(word)

    def _take(self, word: str) -> None:
        if self.pending is not None:
            if word != "=":  # which bash makes a word of its own
                self.config = Path(word) if self.pending.get("is_config") else self.config
                self.pending = None
        elif word == _END:
            self.takes_options = False
        elif self.takes_options and word.startswith("-") and len(word) > 1:
            name, sign, _ = word.partition("=")
            option = self.node["options"].get(name)
            self.used.add(name)
            if option is not None and not option.get("is_flag") and not sign:
                self.pending = option
        elif "commands" in self.node:
            self._go_to(word)
        else:
            self.arguments.append(word)

    def _go_to(self, word: str) -> None:
        old = self.index["old"].get(word) if self.node is self.index["root"] else None
        for name in old or (word,):
            child = self.node.get("commands", {}).get(name)
            if child is None:
                self.is_known = False
                return
            self.node, self.used = child, set()


def complete(words: Sequence[str], incomplete: str, index: Mapping[str, Any]) -> Iterator[CompletionItem]:
    """Yield what completes `incomplete` behind these words.

    Raises:
        OSError, ValueError, KeyError: The index is none.
    """
    line = _Line(index, words)
    if not line.is_known:
        return
    begun = "" if incomplete == "=" else incomplete  # which bash makes a word of its own
    if line.pending is not None:
        yield from _values(line, line.pending, begun)
    elif line.takes_options and begun.startswith("-"):
        yield from _options(line, begun)
    elif "commands" in line.node:
        for name, child in line.node["commands"].items():
            if name.startswith(begun):
                yield CompletionItem(name, help=child.get("help"))
    elif arguments := line.node["arguments"]:
        place = len(line.arguments)
        if place < len(arguments) or arguments[-1].get("is_multiple"):
            yield from _values(line, arguments[min(place, len(arguments) - 1)], begun)


def _options(line: _Line, incomplete: str) -> Iterator[CompletionItem]:
    """Yield the options that begin so, or of `--option=` the values."""
    name, sign, begun = incomplete.partition("=")
    if sign:
        for item in _values(line, line.node["options"].get(name, {}), begun):
            yield CompletionItem(f"{name}={item.value}", help=item.help)
        return
    for known, option in line.node["options"].items():
        if known.startswith(incomplete) and (option.get("is_multiple") or known not in line.used):
            yield CompletionItem(known, help=option.get("help"))


def _values(line: _Line, parameter: Mapping[str, Any], incomplete: str) -> Iterator[CompletionItem]:
    """Yield what a parameter may be."""
    if path := parameter.get("path"):
        yield CompletionItem(incomplete, type=path)
        return
    if choices := parameter.get("choices"):
        offers: Iterator[Offer] = ((choice, "") for choice in choices)
    else:
        kind, _, which = parameter.get("kind", "").partition(":")
        find = _FINDERS.get(kind)
        offers = find(line, which, incomplete) if find is not None else iter(())
    begun, count = incomplete.casefold(), 0
    for value, text in offers:
        if value.casefold().startswith(begun) and value not in line.arguments:
            yield CompletionItem(value, help=one_line(text, limit=MAX_HELP) or None)
            count += 1
            if count == MAX_OFFERED:
                return


def _settings(line: _Line) -> Mapping[str, Any]:
    """Return the settings' file as it is, valid or not; nothing where it cannot be read."""
    try:
        return tomllib.loads(config_path(line.config, Home.from_environment()).read_text(encoding="utf-8"))
    except (OSError, ValueError, SquireError):
        return {}


def _repositories(line: _Line, _which: str, _incomplete: str) -> Iterator[Offer]:
    variable = next((value for name, value in os.environ.items() if name.upper() == "SQUIRE_REPOSITORIES"), None)
    try:
        names = _settings(line).get("repositories") if variable is None else json.loads(variable)
    except ValueError:
        return
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str):
            yield name, ""


def _agents(line: _Line, _which: str, _incomplete: str) -> Iterator[Offer]:
    tables = _settings(line).get("agents")
    for name in dict.fromkeys((*(tables if isinstance(tables, dict) else ()), *line.index["values"]["agent"])):
        yield str(name), ""


def _templates(line: _Line, _which: str, _incomplete: str) -> Iterator[Offer]:
    try:
        own = sorted(path.stem for path in Home.from_environment().task_templates.glob("[!.]*.md"))
    except (OSError, SquireError):
        own = []
    for name in dict.fromkeys((*own, *line.index["values"]["template"])):
        yield name, ""


def _fixed(name: str) -> Callable[[_Line, str, str], Iterator[Offer]]:
    return lambda line, _which, _incomplete: ((value, "") for value in line.index["values"][name])


def _newest(table: str, text: str, state: str = "") -> Callable[[_Line, str, str], Iterator[Offer]]:
    """Return what finds the newest ids of a table that begin so, with a text.

    Args:
        table: Its ids sort by their time of birth.
        text: The column with what a row is.
        state: The column of the states that may be named, with commas between them.
    """

    def find(line: _Line, which: str, incomplete: str) -> Iterator[Offer]:
        states = which.split(",") if which and which != "attempted" else []
        values = {f"state{number}": one for number, one in enumerate(states)}
        # Along the index of the states where there are any, else along that of the ids.
        begins = "+id >= :begun AND +id < :behind" if states else "id >= :begun AND id < :behind"
        order = "+id" if states else "id"
        condition = f" AND {state} IN ({', '.join(f':{name}' for name in values)})" if states else ""
        source, most = (table, MAX_OFFERED) if which != "attempted" else ("attempts", 3 * MAX_OFFERED)
        sql = f"SELECT id FROM {source} WHERE {begins}{condition} ORDER BY {order} DESC LIMIT {most}"  # noqa: S608 - ours
        try:
            path = named_ledger(line.config, Home.from_environment())
            if path is None or not path.exists():
                return
            with reading(path, wait_s=_LOCK_WAIT_S) as runner:
                rows = runner.run(sql, {"begun": incomplete, "behind": incomplete + "\x7f", **values})
                ids = list(dict.fromkeys(_task_of(row["id"]) if which == "attempted" else row["id"] for row in rows))
                within, names = runner.among("id", ids[:MAX_OFFERED])
                texts = runner.run(f"SELECT id, {text} AS text FROM {table} WHERE {within}", names)  # noqa: S608 - ours
        except (OSError, sqlite3.Error, SquireError):
            return
        known = {row["id"]: str(row["text"]) for row in texts}
        yield from ((one, known[one]) for one in ids if one in known)

    return find


def _task_of(attempt_id: str) -> str:
    return attempt_id.rpartition("-")[0]


_FINDERS: Mapping[str, Callable[[_Line, str, str], Iterator[Offer]]] = {
    "repository": _repositories,
    "agent": _agents,
    "template": _templates,
    "setting": _fixed("setting"),
    "secret": _fixed("secret"),
    "task": _newest("tasks", "title", "status"),
    "plan": _newest("plans", "repository"),
    "schedule": _newest("schedules", "title", "state"),
}
