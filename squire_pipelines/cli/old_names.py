"""The old product's command lines: which new command each is, and what its options are now.

Values alone: `aliases` makes commands of them and runs the new ones. The guide "Coming from the old Squire" has a line
for each, which a test compares with what happens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

Words = tuple[str, ...]
_STATUSES: Mapping[str, Words] = {
    "pending": ("proposed", "ready"),
    "completed": ("succeeded",),
    "failed": ("failed", "cancelled"),  # `squire stop` let a task fail
}
_MOST_LISTED = "1000"
_UNDER_WAY = ("--status", "proposed", "--status", "ready", "--status", "running")


def _is_dropped(_value: str) -> Words:
    return ()


def _option(name: str) -> Callable[[str], Words]:
    return lambda value: (name, value)


def _flag(name: str) -> Callable[[str], Words]:
    return lambda _value: (name,)


def _status(value: str) -> Words:
    return tuple(word for status in _STATUSES.get(value, (value,)) for word in ("--status", status))


def _limit(value: str) -> Words:
    return ("--limit", value if value != "0" else _MOST_LISTED)  # 0 showed all


def _minutes(value: str) -> Words:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 7 * 24 * 60:
        raise click.UsageError(f"--interval takes minutes from 1 to 10080, not {value!r}")
    return (f"SQUIRE_COLLECTION__INTERVAL_S={60 * int(value)}",)


@dataclass(frozen=True, slots=True)
class OldOption:
    """An option of an old command.

    Args:
        names: As they were typed.
        words: Makes words of the new command line of its value.
        is_flag: Whether it took no value.
        place: Where the words go: behind the new command, before it as global options, or into the environment.
        refusal: Why it does nothing any more, and what does it now; empty where it still does.
        remark: What the person hears beside the new command line.
        is_repetition: Whether the task's words are asked for again, as a new task.
    """

    names: Words
    words: Callable[[str], Words] = _is_dropped
    is_flag: bool = False
    place: str = "command"
    refusal: str = ""
    remark: str = ""
    is_repetition: bool = False

    @property
    def key(self) -> str:
        """The name of its parameter."""
        return self.names[-1].lstrip("-").replace("-", "_")


@dataclass(frozen=True, slots=True)
class OldCommand:
    """An old command.

    Args:
        new: The new command.
        options: Its options; others are those of the new command.
        default: Words that are added where none of the options `unless` is named.
    """

    new: Words
    options: tuple[OldOption, ...] = ()
    default: Words = ()
    unless: Words = ()


@dataclass(frozen=True, slots=True)
class NewLine:
    """What an old command line is now.

    Args:
        before: Global options.
        command: The new command.
        options: Its options that stand for old ones.
        rest: What was typed beside them, as it was.
        variables: Environment variables of this command.
        remarks: What the person hears.
        repeats: Whether the first word of `rest` is a task whose words are asked for again.
    """

    before: Words
    command: Words
    options: Words = ()
    rest: Words = ()
    variables: Words = ()
    remarks: Words = ()
    repeats: bool = False


_MODEL = OldOption(("-m", "--model"), _option("--model"))
_VERBOSE = OldOption(("-v", "--verbose"), _flag("--verbose"), is_flag=True, place="before")

OLD_COMMANDS: Mapping[str, OldCommand] = {
    "new": OldCommand(("tasks", "new"), (OldOption(("-b", "--branch"), _option("--branch")), _MODEL, _VERBOSE)),
    "list": OldCommand(
        ("tasks", "list"),
        (OldOption(("-s", "--status"), _status), OldOption(("-n", "--limit"), _limit)),
        default=("--limit", "10"),
        unless=("-n", "--limit"),
    ),
    "start": OldCommand(
        ("tasks", "start"),
        (
            OldOption(
                ("-m", "--model"),
                refusal="a task's model is chosen when it is made, with `squire tasks new --model`; `squire config set "
                "agent.model NAME` sets that of all others",
            ),
            _VERBOSE,
        ),
    ),
    "stop": OldCommand(("tasks", "cancel")),
    "retry": OldCommand(
        ("tasks", "retry"),
        (
            OldOption(("-m", "--model"), _option("--model"), is_repetition=True),
            OldOption(("--new-branch",), is_flag=True, is_repetition=True),
            _VERBOSE,
        ),
    ),
    "followup": OldCommand(("tasks", "followup"), (_MODEL, _VERBOSE)),
    "ps": OldCommand(
        ("tasks", "list"),
        (OldOption(("-a", "--all"), is_flag=True),),
        default=_UNDER_WAY,
        unless=("-a", "--all", "--status"),
    ),
    "watch": OldCommand(
        ("tasks", "watch"),
        (
            OldOption(("-i", "--interval"), _option("--interval")),
            OldOption(
                ("--no-auto-start",), is_flag=True, remark="watching starts nothing: `squire dev` and `squire run` do"
            ),
            _VERBOSE,
        ),
    ),
    "clean": OldCommand(
        ("tasks", "clean"),
        (
            OldOption(
                ("--all",),
                is_flag=True,
                refusal="tasks that have not ended are no longer deleted: `squire tasks cancel --all` ends them first",
            ),
            OldOption(
                ("--containers",),
                is_flag=True,
                remark="containers are removed when they end; those kept for debugging, after agent.log_retention_days",
            ),
        ),
        default=("--older-than", "0s"),
        unless=("--older-than",),
    ),
    "webhook": OldCommand(
        ("webhooks", "serve"),
        (
            OldOption(("-p", "--port"), _option("--port")),
            OldOption(
                ("-s", "--secret"),
                refusal="other users of a machine can read command lines: `squire secrets set webhook-secret` keeps "
                "the secret, and so does the variable SQUIRE_WEBHOOK_SECRET",
            ),
            OldOption(
                ("--auto-fix-ci",),
                is_flag=True,
                remark="failed checks are fixed by `squire dev`, unless follow.checks = false",
            ),
            OldOption(
                ("--auto-fix-reviews",),
                is_flag=True,
                remark="remarks are answered by `squire dev`, unless follow.remarks = false",
            ),
            OldOption(
                ("--review-bots",),
                refusal="the bots whose remarks are answered are a setting: `squire config set trust.bots NAME…`",
            ),
            _VERBOSE,
        ),
    ),
    "help": OldCommand((), default=("--help",)),
    "steward init": OldCommand(("init",)),
    "steward run": OldCommand(("run",), (OldOption(("--verbose",), _flag("--verbose"), is_flag=True, place="before"),)),
    "steward watch": OldCommand(("dev",), (OldOption(("--interval",), _minutes, place="environment"),)),
    "steward status": OldCommand(("status",)),
    "steward signals": OldCommand(("signals", "list")),
    "steward tasks": OldCommand(("tasks", "list"), default=_UNDER_WAY, unless=("--status",)),
}
"""The old commands by their names. `squire status ID`, `logs` and `config` are commands still, with their own ways."""


def new_line(old: OldCommand, values: Mapping[str, Any], rest: Sequence[str]) -> NewLine:
    """Return what an old command line is now.

    Args:
        old: The command.
        values: Of its options, by their keys.
        rest: All other words.

    Raises:
        UsageError: An option does nothing any more; the message says what does it now.
    """
    named = [option for option in old.options if values.get(option.key)]
    for option in named:
        if option.refusal:
            raise click.UsageError(f"{option.names[-1]}: {option.refusal}")

    def words(place: str) -> Iterator[str]:
        for option in named:
            if option.place == place:
                yield from option.words(str(values[option.key]))

    typed = {name for option in named for name in option.names} | {word.partition("=")[0] for word in rest}
    default = () if typed.intersection(old.unless) else old.default
    return NewLine(
        before=tuple(words("before")),
        command=old.new,
        options=(*words("command"), *default),
        rest=tuple(rest),
        variables=tuple(words("environment")),
        remarks=tuple(option.remark for option in named if option.remark),
        repeats=any(option.is_repetition for option in named),
    )


_KEYS: Mapping[str, str] = {
    "model": "agent.model",
    "maxConcurrent": "dispatch.max_concurrent",
    "containerRuntime": "agent.runtime",
    "skillsDir": "agent.skills",
}
_GONE: Mapping[str, str] = {
    "autoCleanup": "it is `squire config set agent.keep_failed_containers true` where it was false",
    "tasksDir": "tasks are in the ledger, whose place `squire config path --json` says",
    "workerImage": "an old image cannot be used: `squire agents build` makes one, which agent.image names",
}


def new_config_line(words: Sequence[str]) -> NewLine | None:
    """Return what an old line of `squire config` is now; None for one that is no old line.

    Raises:
        UsageError: The key is none any more, or is a secret that a command line must not have.
    """
    if not words or list(words) == ["--list"]:
        return NewLine((), ("config", "show"))
    if list(words) == ["--path"]:
        return NewLine((), ("config", "path"))
    key, *value = words
    if key == "githubToken":
        if value:
            raise click.UsageError(
                "githubToken: other users of a machine can read command lines: `squire secrets set github-token` asks "
                "for the token"
            )
        return NewLine((), ("secrets", "list"))
    if key in _GONE:
        raise click.UsageError(f"{key}: {_GONE[key]}")
    # Those who know the old form write a key of today in it, too; no command has a dot in its name.
    now = _KEYS.get(key, key if "." in key and not key.startswith("-") else None)
    if now is None:
        return None
    return NewLine((), ("config", "set" if value else "get", now), rest=tuple(value))
