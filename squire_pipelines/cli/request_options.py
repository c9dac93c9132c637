"""What `squire tasks new` and `followup` have in common: the options of a request, and how a task is made of them."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, Decorator
from squire_pipelines.cli.parameters import AGENT, GLOB, TASK_ID
from squire_pipelines.cli.person import actor
from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.tasks import Priority, TaskSpec, TaskStatus, Verification
from squire_pipelines.domain.verification import CHECK_KINDS
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.execution.request_making import make_request
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.task_creation import RequestedTask
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.planning.request_spec import MAX_TEXT_CHARS, request_spec
from squire_pipelines.planning.request_text import NO_UTF8, request_text, request_title
from squire_pipelines.planning.task_templates import FilledTemplate
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_labelled

if TYPE_CHECKING:
    from squire_pipelines.domain.duplicates import KnownWork
    from squire_pipelines.ledger.tasks import Task


def read_text(text: str | None, prompt: str | None) -> str:
    """Return the request's text, which is the argument or `--prompt`; `-` is standard input.

    Raises:
        UsageError: There is none, or there are two.
        BadParameter: It is empty, too long, or no UTF-8, of which Python makes half characters.
    """
    if (text is None) == (prompt is None):
        raise click.UsageError("say what is to be done, as TEXT or with --prompt; - reads it from standard input")
    words = text if text is not None else prompt or ""
    try:
        if words == "-":
            words = sys.stdin.read(MAX_TEXT_CHARS + 1)  # one more than allowed is enough to see that it is too long
    except UnicodeError:
        raise click.BadParameter(NO_UTF8) from None
    return as_request(words)


def as_request(words: str) -> str:
    """Return a request's text without what is no writing. Raises BadParameter as `read_text` does."""
    try:
        return request_text(words)
    except ValueError as error:
        hint = None if str(error) == NO_UTF8 else "TEXT or --prompt"
        raise click.BadParameter(str(error), param_hint=hint) from error


def title_of(title: str | None, text: str) -> str:
    """Return the title, or else the text's first line, cut. Raises BadParameter."""
    try:
        return request_title(title, text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--title") from error


def request_options(callback: Callable[..., object]) -> Callable[..., object]:
    """Add what every request has: its text, as an argument or an option, and how it is taken."""
    options: tuple[Decorator, ...] = (
        click.argument("text", metavar="[TEXT]", required=False),
        click.option("--prompt", help="Say what is to be done, in place of TEXT; - reads it from standard input."),
        click.option("--title", help="Name the task in one line; by default the text's first line."),
        click.option(
            "--agent",
            type=AGENT,
            help="Have this agent do it, whatever the settings' rules say: a kind or a table [agents.NAME].",
        ),
        click.option("--model", help="Have this model called; its provider's settings must allow it."),
        click.option(
            "--depends-on",
            type=TASK_ID,
            multiple=True,
            metavar="ID",
            help="Wait until this task has succeeded; may be repeated.",
        ),
        click.option(
            "--priority",
            type=click.Choice([priority.name.lower() for priority in Priority]),
            default=Priority.HIGH.name.lower(),
            show_default=True,
            help="Say how soon it should run.",
        ),
        click.option(
            "--allow-protected",
            type=GLOB,
            multiple=True,
            metavar="GLOB",
            help="Allow a change of this protected path, which a person still approves; may be repeated.",
        ),
        click.option(
            "--leave-out",
            type=click.Choice(CHECK_KINDS),
            multiple=True,
            help="Do not run this check of `verification` on the change, which its pull request then says; may be "
            "repeated.",
        ),
        click.option("--no-start", is_flag=True, help="Hold the task until `squire tasks start` lets it run."),
    )
    for option in reversed(options):
        callback = option(callback)
    return callback


def _order(settings: Settings, repository: str, agent: str | None, model: str | None) -> AgentOrder | None:
    """Return which agent a person wants, None for that of the settings. Raises ConfigError for one that cannot be."""
    if agent is None and model is None:
        return None
    from squire_pipelines.execution.startable import check_order  # noqa: PLC0415 - the adapters, only for an order

    order = AgentOrder(agent=agent or settings.choice_rules(repository).default, model=model)
    check_order(settings, repository, order)
    return order


@dataclass(frozen=True, slots=True)
class MadeTask:
    """A request's task.

    Args:
        row: As it was made.
        resembles: What it says nearly the same as.
    """

    row: "Task"
    resembles: tuple["KnownWork", ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return what a command says of it."""
        names = ("id", "repository", "title", "status", "branch", "base_branch", "trace_id")
        resembles = [
            {"kind": work.kind, "name": work.name, "title": work.text.title, "status": work.state}
            for work in self.resembles
        ]
        return {**{name: getattr(self.row, name) for name in names}, "resembles": resembles}

    def warn(self) -> None:
        """Tell the person what it resembles."""
        warn_of(self.resembles, f"; `squire tasks cancel {self.row.id}` takes it back")


def warn_of(resembles: Iterable["KnownWork"], way_back: str = "") -> None:
    """Tell the person what a request says nearly the same as."""
    for work in resembles:
        write_labelled("warning", f"this says nearly the same as {work}{way_back}", color="yellow")


class RequestOptions:
    """What the options of a request say, until it is known where it is made."""

    def __init__(
        self,
        context: CliContext,
        *,
        text: str | None,
        prompt: str | None,
        template: FilledTemplate | None = None,
        title: str | None,
        agent: str | None,
        model: str | None,
        depends_on: tuple[str, ...],
        priority: str,
        allow_protected: tuple[str, ...],
        leave_out: tuple[str, ...],
        no_start: bool,
    ) -> None:
        self._context = context
        if template is not None and (text, prompt) != (None, None):
            raise click.UsageError("say what is to be done by --template, or as TEXT or with --prompt, and not twice")
        self._text = read_text(text, prompt) if template is None else as_request(template.text)
        self._title = title_of(title if template is None else title or template.title, self._text)
        self._template = template.label if template is not None else ""
        self._agent, self._model = agent, model
        self._depends_on = depends_on
        self._priority = Priority[priority.upper()]
        self._allow_protected = allow_protected
        self._verification = Verification.model_validate({f"run_{kind}": False for kind in leave_out})
        self._hold = no_start

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Ids of the tasks that it waits for."""
        return self._depends_on

    @property
    def template(self) -> str | None:
        """The label of the template whose words it has; None where the person wrote them."""
        return self._template or None

    @property
    def is_held(self) -> bool:
        """Whether it waits for a person to let it run."""
        return self._hold

    def spec(self, repository: str, *, base_branch: str) -> TaskSpec:
        """Return what is asked for. Raises ConfigError for an agent that cannot be."""
        return request_spec(
            self._title,
            self._text,
            base_branch=base_branch,
            priority=self._priority,
            allow_protected=self._allow_protected,
            agent=_order(self._context.settings, repository, self._agent, self._model),
            verification=self._verification,
        )

    def create(self, repository: str, *, base_branch: str, branch: str | None = None, compare: bool = True) -> MadeTask:
        """Create the task. Raises ConfigError, NotFoundError, RefusedError; nothing is written then.

        With `compare` it is said what the request resembles.
        """
        context, spec = self._context, self.spec(repository, base_branch=base_branch)
        request = RequestedTask(
            repository, spec, actor(), branch=branch, depends_on=self._depends_on, template=self._template
        )
        made = make_request(context.ledger, context.settings, request, hold=self._hold, compare=compare)
        return MadeTask(made.task, made.resembles)

    def create_proposed(self, repository: str, specs: Sequence[TaskSpec], *, base_branch: str) -> tuple[MadeTask, ...]:
        """Create tasks in the request's place, all or none. Raises as `create` does."""
        from squire_pipelines.execution.request_proposals import create_proposed  # noqa: PLC0415 - seldom needed

        context = self._context
        settings = settings_in(context.ledger, context.settings, repository)
        spec = self.spec(repository, base_branch=base_branch)
        request = RequestedTask(repository, spec, actor(), depends_on=self._depends_on, template=self._template)
        trace_id = new_trace_id()
        with bound_context(trace_id=trace_id), context.ledger.write() as tx:
            created = create_proposed(tx, settings, request, specs, trace_id=trace_id, hold=self._hold)
            return tuple(MadeTask(tasks.get(tx, task.id)) for task in created)


def next_step(task: "Task") -> str:
    """Return what the person may do next, as a sentence."""
    if task.status is TaskStatus.PROPOSED:
        return f"Next: `squire tasks start {task.id}` lets it run."
    return f"Next: `squire dev` or `squire run` starts it; `squire tasks show {task.id}` says how far it is."
