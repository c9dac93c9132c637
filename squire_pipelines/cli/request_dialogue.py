"""The questions of `squire tasks new` to a person at a terminal: where, what, and whether to make it.

Nothing is written before the last answer; Ctrl-C and a no leave everything as it was.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType

import click

from squire_pipelines.cli.context import CliContext, write_fields
from squire_pipelines.cli.editor import named_editor, write_text
from squire_pipelines.cli.failures import fail
from squire_pipelines.cli.parameters import REPOSITORY
from squire_pipelines.cli.request_options import RequestOptions, warn_of
from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.execution.request_making import known_repository
from squire_pipelines.execution.requests import approval_rule, resembled_by
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS
from squire_pipelines.planning.task_templates import ParameterType, TaskTemplate, TemplateParameter
from squire_pipelines.terminal.output import ask, write_line

MAX_ASKS = 5
"""So often a question is asked again after an answer that cannot be taken."""

MAX_SHOWN_LINES = 20
"""Of the request's text, before it is made."""

_EXPLANATION = (
    "Say above what is to be done: what is wrong, where, and what must hold afterwards. Nothing makes no task."
)
_CHOICES = "Y/n/e"


def may_ask(context: CliContext, *, as_json: bool) -> bool:
    """Return whether a person can be asked: one at a terminal, who reads text."""
    return context.is_interactive and not as_json


class RequestDialogue:
    """The questions of one request; `has_asked` says whether there was one yet.

    Args:
        context: Of the command.
    """

    def __init__(self, context: CliContext) -> None:
        self._context = context
        self.has_asked = False

    def ask_repository(self) -> str:
        """Return the repository that the person names, as Squire writes it; Tab completes those of the settings.

        Raises:
            ConfigError: The settings have none.
            Abort: No answer could be taken.
        """
        names = self._context.settings.repositories
        if not names:
            hint = f"add it to `repositories` in {self._context.config_path}"
            raise ConfigError("the settings name no repository", hint=hint)
        default = names[0] if len(names) == 1 else None

        def take(answer: str) -> str:
            try:
                name = REPOSITORY.convert(answer, None, click.get_current_context())
            except click.BadParameter as error:
                raise ValueError(error.message) from error
            with self._context.ledger.read() as tx:
                return known_repository(tx, self._context.settings, name, config=self._context.config_path)

        with _completion(names):
            return self._ask("repository", take, default=default)

    def ask_text(self) -> str:
        """Return what is to be done: a line, or where that is empty a text from the person's editor. Raises Abort."""
        editor = named_editor()
        way = "what is to be done (Enter: write it in your editor)" if editor is not None else "what is to be done"
        line = self._ask(way, str.strip, default="" if editor is not None else None)
        return line or self.edit("")

    def edit(self, text: str) -> str:
        """Return a text as the person has changed it. Raises SettingError, Abort when nothing is left."""
        self.has_asked = True
        editor = named_editor()
        if editor is None:
            raise SettingError("no editor is named", hint="set the variable EDITOR")
        folder = self._context.home.run
        written = write_text(editor, folder, text, explanation=_EXPLANATION, most=MAX_TEXT_CHARS)
        if not written.strip():
            write_line("the text is empty: no task was made", err=True)
            raise click.Abort
        return written

    def ask_values(self, template: TaskTemplate, values: Mapping[str, str]) -> dict[str, str]:
        """Return the values with those that a template needs and that were not given. Raises Abort."""
        answers = dict(values)
        for name, parameter in template.parameters.items():
            if not parameter.required or name in answers:
                continue
            kind = " or ".join(parameter.choices) or str(parameter.type)
            question = f"{name} ({kind}): {parameter.description.removesuffix('.')}"
            is_long = parameter.type is ParameterType.TEXT and named_editor() is not None
            if is_long:
                answers[name] = self._ask(f"{question} (Enter: your editor)", str, default="") or self.edit("")
            else:
                answers[name] = self._ask(question, partial(_value_of, parameter))
        return answers

    def confirm(
        self,
        request: RequestOptions,
        change: Callable[[str], RequestOptions],
        repository: str,
        *,
        base_branch: str,
        branch: str | None,
        further: Mapping[str, str],
    ) -> RequestOptions:
        """Show what would be made and return it when the person agrees, changed as often as they want.

        Args:
            request: What is asked for.
            change: Makes the same request with another text.
            repository: Where.
            base_branch: Where its pull request goes into.
            branch: The task's own; None for one that is made of its id and title.
            further: Other lines of the summary.

        Raises:
            Abort: The person does not agree.
            ConfigError: The agent cannot be.
        """
        while True:
            spec = request.spec(repository, base_branch=base_branch)
            self.show(request, spec, repository, branch=branch, further=further)
            answer = self._ask(f"Make this task? [{_CHOICES}] (e: edit its text)", _choice, default="y")
            if answer == "y":
                return request
            if answer == "n":
                write_line("no task was made", err=True)
                raise click.Abort
            request = change(self.edit(spec.prompt))

    def choose(self, *, has_proposal: bool) -> str:
        """Return what the person takes: `o` for the request as it is, `p` for what a model proposes. Raises Abort."""
        letters = "opn" if has_proposal else "on"
        words = "original, proposal or nothing" if has_proposal else "original or nothing"

        def take(answer: str) -> str:
            letter = answer.strip().lower()[:1]
            if letter not in letters:
                raise ValueError(f"answer with one letter of {'/'.join(letters)}")
            return letter

        letter = self._ask(f"Make {words}? [{'/'.join(letters)}]", take)
        if letter == "n":
            write_line("no task was made", err=True)
            raise click.Abort
        return letter

    def show(
        self,
        request: RequestOptions,
        spec: TaskSpec,
        repository: str,
        *,
        branch: str | None,
        further: Mapping[str, str],
    ) -> None:
        """Show what would be made, and what it resembles."""
        context = self._context
        settings = settings_in(context.ledger, context.settings, repository)
        with context.ledger.read() as tx:
            resembles = resembled_by(tx, settings, repository, spec)
        starts = not request.is_held and approval_rule(settings).covers(spec)
        order = spec.agent
        fields = {
            "repository": repository,
            "title": spec.title,
            "branch": branch or "",
            "into": "the default branch" if spec.base_branch == DEFAULT_BRANCH else spec.base_branch,
            "priority": spec.priority.name.lower(),
            "agent": "" if order is None else " ".join(filter(None, (order.agent, order.model))),
            "waits for": ", ".join(request.depends_on),
            "protected": ", ".join(spec.allow_protected),
            "left out": ", ".join(spec.verification.left_out),
            "starts": "when there is a slot" if starts else "when `squire tasks start` lets it",
            **further,
        }
        write_line()
        write_fields(fields, {name: name for name in fields})
        write_line()
        lines = plain(spec.prompt).split("\n")
        for line in lines[:MAX_SHOWN_LINES]:
            write_line(f"    {line}")
        if len(lines) > MAX_SHOWN_LINES:
            write_line(f"    … and {len(lines) - MAX_SHOWN_LINES} more lines")
        write_line()
        warn_of(resembles)

    def _ask(self, question: str, take: Callable[[str], str], *, default: str | None = None) -> str:
        """Ask until an answer can be taken. Raises Abort after `MAX_ASKS`, and at Ctrl-C or the input's end."""
        self.has_asked = True
        shown = f"{question} [{default}]" if default and _CHOICES not in question else question
        for _ in range(MAX_ASKS):
            try:
                return take(ask(shown, default=default))
            except ConfigError as error:
                fail(error.message, error.hint)
            except (ValueError, OverflowError) as error:
                fail(str(error))
        raise click.Abort


def _value_of(parameter: TemplateParameter, answer: str) -> str:
    """Return a parameter's value. Raises ValueError with what is wrong, as a sentence."""
    try:
        return parameter.check(answer)
    except ValueError as error:
        raise ValueError(f"the value {error}") from error


def _choice(answer: str) -> str:
    """Return `y`, `n` or `e`. Raises ValueError for another answer."""
    letter = answer.strip().lower()[:1]
    if letter not in {"y", "n", "e"}:
        raise ValueError("answer y to make it, n to leave it, or e to edit its text")
    return letter


@contextlib.contextmanager
def _completion(names: Sequence[str]) -> Iterator[None]:
    """Complete these names at Tab, where this Python has a library for that."""
    library = _line_editor()
    if library is None:
        yield
        return
    before, delimiters = library.get_completer(), library.get_completer_delims()

    def complete(begun: str, number: int) -> str | None:
        matching = [name for name in names if name.casefold().startswith(begun.casefold())]
        return matching[number] if number < len(matching) else None

    library.set_completer(complete)
    library.set_completer_delims(" \t\n")  # a slash and a hyphen stand within names
    # The BSD library, which macOS has in its place, takes other words: https://docs.python.org/3/library/readline.html
    is_bsds = "libedit" in (library.__doc__ or "")
    library.parse_and_bind("bind ^I rl_complete" if is_bsds else "tab: complete")
    try:
        yield
    finally:
        library.set_completer(before)
        library.set_completer_delims(delimiters)


def _line_editor() -> ModuleType | None:
    try:
        import readline  # noqa: PLC0415 - not every Python has it, and only a dialogue needs it
    except ImportError:
        return None
    return readline
