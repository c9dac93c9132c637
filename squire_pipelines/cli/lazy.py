"""The click classes that all commands share: groups whose commands are imported on use, commands with examples.

Nothing here imports more than click, since every start of the command waits for this module.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click

CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_MAX_SHORT_HELP = 250
"""Characters of a command's line in its group's help, which is wrapped: a first sentence is never cut."""

_OTHER_WORDS = {"check": "validate", "ls": "list", "rm": "clean", "create": "new", "add": "new", "view": "show"}
"""Commands by the words that people know from elsewhere, where the spelling does not suggest them."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is not imported yet: its place (`module:attribute`) and its line in the group's help."""

    target: str
    help: str
    hidden: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        loaded = getattr(importlib.import_module(module), attribute)
        if not isinstance(loaded, click.Command):
            raise TypeError(f"{self.target} is not a command")
        return loaded


class CommandWithExamples(click.Command):
    """A command whose help ends with `examples`, command lines that can be typed as they are."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **{"context_settings": CONTEXT_SETTINGS, **kwargs})
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        if self.examples:
            with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)


class LazyGroup(click.Group):
    """A group that imports a command only when it is run or its own help is asked for."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **{"context_settings": CONTEXT_SETTINGS, **kwargs})
        self.lazy = dict(lazy or {})
        self.command_class = CommandWithExamples

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names: the lazy ones in their order, then the others."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, which is imported now if need be."""
        if cmd_name in self.lazy:
            return self.lazy[cmd_name].load()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command as click does, but with the lazy names among the suggestions."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            name = args[0]
            if name in self.list_commands(ctx) or name.startswith("-"):
                raise
            import difflib  # noqa: PLC0415 - only a mistyped command needs it

            visible = [known for known, _ in self._visible(ctx)]
            other = _OTHER_WORDS.get(name)
            close = [other] if other in visible else difflib.get_close_matches(name, visible)
            question = f"; did you mean {' or '.join(close)}?" if close else f": `{ctx.command_path} --help` lists them"
            raise click.UsageError(f"there is no command {name!r}{question}", ctx) from error

    def _visible(self, ctx: click.Context) -> Iterator[tuple[str, str]]:
        for name, entry in self.lazy.items():
            if not entry.hidden:
                yield name, entry.help
        for name in super().list_commands(ctx):
            command = super().get_command(ctx, name)
            if command is not None and not command.hidden:
                yield name, command.get_short_help_str(limit=_MAX_SHORT_HELP)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their short help, importing none."""
        rows = list(self._visible(ctx))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def command(
    name: str, *, examples: tuple[str, ...], **options: Any
) -> Callable[[Callable[..., Any]], CommandWithExamples]:
    """Decorate a function as a command with examples."""
    return click.command(name, cls=CommandWithExamples, examples=examples, **options)
