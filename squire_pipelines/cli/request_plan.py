"""`--plan`: what a model proposes in a request's place, shown beside it; the person says which of the two is made."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.template_options import github_opener
from squire_pipelines.cli.unlock import unlock_store
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.errors import ConfigError, PlanningError
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import write_labelled, write_line

if TYPE_CHECKING:
    from squire_pipelines.planning.request_proposals import RequestProposal


def plan_options(callback: Callable[..., object]) -> Callable[..., object]:
    """Add `--plan` and `--accept`, as `plan` and `accept`."""
    accept = click.option("--accept", is_flag=True, help="Make what the model proposes, if it proposes something.")
    option = click.option(
        "--plan", is_flag=True, help="Have the planner's model propose to split or sharpen the request, and choose."
    )
    return option(accept(callback))


@dataclass(frozen=True, slots=True)
class Advice:
    """What came of asking a model about a request.

    Args:
        proposal: What it proposes; None where there is none.
        specs: The tasks of that.
        problem: Why there is none.
    """

    proposal: "RequestProposal | None" = None
    specs: tuple[TaskSpec, ...] = ()
    problem: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return it for `--json`."""
        call = self.proposal.call if self.proposal is not None else None
        return {
            "tasks": [
                {"key": spec.key, "title": spec.title, "prompt": spec.prompt, "depends_on": spec.depends_on}
                for spec in self.specs
            ],
            "notes": self.proposal.notes if self.proposal is not None else (),
            "model": call.model if call is not None else None,
            "cost_usd": call.cost_usd if call is not None else None,
            "tokens": call.input_tokens + call.output_tokens if call is not None else None,
            "problem": self.problem,
        }

    def write(self) -> None:
        """Write it for a person."""
        if self.proposal is None:
            write_labelled("warning", f"there is no proposal: {self.problem}", color="yellow")
            return
        call = self.proposal.call
        cost = f"{call.cost_usd:.4f} USD" if call.cost_usd is not None else "cost not known"
        used = f"{call.input_tokens + call.output_tokens} tokens, {cost}"
        says = f"proposes {len(self.specs)}" if self.specs else "would leave the request as it is"
        write_line(f"{one_line(call.model)} {says} ({used})")
        for number, task in enumerate(self.proposal.tasks, 1):
            after = f" (after {', '.join(task.depends_on)})" if task.depends_on else ""
            write_line()
            write_line(one_line(f"{number}. {task.key}: {task.title}{after}"))
            for line in plain(task.prompt).split("\n"):
                write_line(f"    {line}")
        for remark in self.proposal.notes:
            write_line(f"note: {one_line(remark, limit=1_000)}")
        if self.specs:
            write_line()
            write_line("Each of them also has the request's own words, which count where the two differ.")


def ask_for_advice(context: CliContext, repository: str, request: TaskSpec) -> Advice:
    """Ask the planner's model about a request; what keeps it from answering is no error of the request.

    Raises:
        ConfigError: The settings name no model, the request is too long for a proposal, or the installation's own
            instructions cannot be used.
    """
    from squire_pipelines.execution.request_proposals import propose_for  # noqa: PLC0415 - seconds to import
    from squire_pipelines.planning.request_proposals import MAX_REQUEST_CHARS  # noqa: PLC0415 - likewise

    settings = settings_in(context.ledger, context.settings, repository)
    if settings.planner.model is None or settings.planner.kind == "rules":
        raise ConfigError(
            "--plan asks the planner's model, and the settings name none",
            hint='set planner.model (and planner.kind to "auto" or "llm"), or leave out --plan',
        )
    if len(request.prompt) > MAX_REQUEST_CHARS:
        raise click.BadParameter(
            f"a request of more than {MAX_REQUEST_CHARS} characters is too long for --plan",
            param_hint="TEXT or --prompt",
        )
    unlock_store(context, settings.secret_sources)
    trace_id = new_trace_id()
    has_access = bool(settings.github.app_id) or find_secret("github-token", settings.secret_sources) is not None
    if not has_access:
        note("there is no access to GitHub: the model sees nothing of the repository")
    with bound_context(trace_id=trace_id):
        coroutine = propose_for(
            settings,
            context.ledger,
            repository,
            request,
            open_client=github_opener(context, settings) if has_access else None,
            trace_id=trace_id,
        )
        try:
            with live_line("asking the planner's model"):
                proposal = asyncio.run(coroutine)
        except PlanningError as error:
            return Advice(problem=str(error))
    return Advice(proposal, proposal.specs(request))
