"""`squire plans`: what planners proposed for the repositories, and what the checks found in it."""

from collections.abc import Sequence

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    page_options,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.parameters import PLAN_ID, repository_option, tenant_option
from squire_pipelines.cli.text import instant
from squire_pipelines.domain.plan_groups import is_group
from squire_pipelines.domain.plan_making import RefusedAnswer
from squire_pipelines.domain.plans import unasked
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.ledger import list_pages, plan_answers
from squire_pipelines.ledger import plans as plan_rows
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.terminal.output import write_line

_CLI = "squire_pipelines.cli"

plans = LazyGroup(
    name="plans",
    help="Make, list, show and compare plans.",
    lazy={
        "make": Lazy(f"{_CLI}.plans_make:make", "Plan repositories now, or show what would be planned."),
        "replay": Lazy(f"{_CLI}.plans_replay:replay", "Plan again by another model or prompt, and compare."),
        "context": Lazy(f"{_CLI}.plans_context:context", "Show what planners are told of a repository."),
    },
)


@plans.command("list", examples=("squire plans list --repository owner/name",))
@repository_option
@tenant_option
@page_options(str)
def list_plans(context: CliContext, /, limit: int, after: str | None, *, as_json: bool, **whose: str | None) -> None:
    """List plans, newest first."""
    with context.ledger.read() as tx:
        rows = list_pages.plan_page(
            tx, repository=whose["repository"], tenant=whose["tenant"], limit=limit, after=after
        )
    columns: Columns = {
        "id": "id",
        "repository": "repository",
        "planner": "planner",
        "proposed": "tasks_proposed",
        "created": "tasks_created",
        "provisional": lambda row: "yes" if row["provisional"] else "",
        "findings": lambda row: len(row["findings"]) or "",
        "made at": "created_at",
    }
    empty = "There are no plans yet: the first follows the first collection."
    context.write_list(rows, columns, as_json=as_json, empty=empty, limit=limit, spare=("provisional", "planner"))


@plans.command("show", examples=("squire plans show p0m1e2x3a4m5p6l", "squire plans show p0m1e2x3a4m5p6l --answers"))
@click.argument("plan_id", metavar="ID", type=PLAN_ID)
@click.option("--answers", "with_answers", is_flag=True, help="Also show what a model answered that became no plan.")
@json_option
@with_home_to_read
def show(context: CliContext, plan_id: str, *, with_answers: bool, as_json: bool) -> None:
    """Show a plan with its tasks, how it came about, and what the checks found in it."""
    with context.ledger.read() as tx:
        saved = plan_rows.get(tx, plan_id)
        answers = plan_answers.of_plan(tx, plan_id) if with_answers else ()
    plan = saved.plan
    if as_json:
        content = {
            "id": saved.id,
            **plan.model_dump(mode="json"),
            "model": plan.model,
            "provider": plan.provider,
            "prompt_version": plan.prompt_version,
            "provisional": plan.provisional,
            "model_failures": saved.model_failures,
            "ask_again_at": saved.ask_again_at,
            "use": plan.use.model_dump() if plan.use is not None else None,
            "findings": saved.findings,
            "trace_id": saved.trace_id,
            "created_at": saved.created_at,
            "admitted_at": saved.admitted_at,
            **({"answers": [answer.model_dump() for answer in answers]} if with_answers else {}),
        }
        emit_json(content)
        return
    write_line(f"{saved.id}  {plan.repository}  by {one_line(plan.planner)}")
    admitted = f"admitted {instant(saved.admitted_at)}" if saved.admitted_at else "not admitted"
    write_line(f"made {instant(saved.created_at)}, {admitted}, trace {saved.trace_id}")
    if plan.model is not None:
        provider = f" at the provider {plan.provider}" if plan.provider is not None else ""
        write_line(f"model {one_line(plan.model)}{provider}, prompt {plan.prompt_version}")
    _write_making(saved)
    for note in plan.notes:
        write_line(f"note: {one_line(note)}")
    for finding in saved.findings:
        write_line(f"finding: {finding.check}: {one_line(finding.message)}")
    for omission in plan.left_out:
        write_line(f"left out: {one_line(omission.key)} ({one_line(omission.title)}): {one_line(omission.message)}")
    _write_tasks(context, plan)
    if with_answers:
        _write_answers(answers)


def _write_tasks(context: CliContext, plan: Plan) -> None:
    if not plan.tasks:
        write_line("It proposes no tasks.")
        return
    columns: Columns = {
        "key": "key",
        **({"repository": "repository"} if is_group(plan.repository) else {}),
        "title": "title",
        "kind": "kind",
        "priority": lambda task: task.priority.name.lower(),
        "risk": "risk",
        "confidence": lambda task: f"{task.confidence:.2f}",
        "size": lambda task: task.size,
        "depends on": lambda task: ", ".join(task.depends_on),
        "answers": lambda task: ", ".join(task.signals),
    }
    context.write_rows(plan.tasks, columns, spare=("size", "confidence", "kind", "answers"))
    for task in plan.tasks:
        for factor in task.confidence_factors:
            write_line(f"{one_line(task.key)}: confidence {one_line(factor)}")
        if task.protected_paths:
            write_line(
                f"{one_line(task.key)}: changes protected {one_line(', '.join(task.protected_paths))}{_waits(task)}"
            )
        if task.evidence:
            write_line(f"{one_line(task.key)}: evidence {one_line(', '.join(task.evidence))}")


def _waits(task: TaskSpec) -> str:
    return ", which it may not: it waits for approval" if unasked(task) else ", which it asks for"


def _write_making(saved: SavedPlan) -> None:
    """Write how the plan came about: what was used, the steps, and that it is provisional."""
    plan = saved.plan
    if (use := plan.use) is not None:
        if use.cache_hit:
            write_line("the same was asked before: its answer was taken, and nothing was asked")
        cost = f"{use.cost_usd:.4f} USD" if use.cost_usd is not None else "cost not known"
        tokens = f"{use.input_tokens} tokens in, {use.output_tokens} out"
        write_line(f"used: {use.asks} requests answered, {tokens}, {cost}, {use.latency_s:.1f} s")
    if plan.provisional:
        again = f", asked again from {instant(saved.ask_again_at)} on" if saved.ask_again_at is not None else ""
        write_line(f"provisional: the model did not come to answer{again}")
    for step in plan.steps:
        write_line(f"step: {one_line(str(step))}")


def _write_answers(answers: Sequence[RefusedAnswer]) -> None:
    """Write what a model answered that could not be taken: it is kept for `retention.plan_answers_days`."""
    if not answers:
        write_line("No answer is kept that could not be taken.")
    for answer in answers:
        write_line("")
        write_line(f"answer {answer.number} of {one_line(answer.model)} at the provider {one_line(answer.provider)}")
        write_line(f"not taken: {one_line(answer.reason)}")
        cut = f", of which the first {len(answer.text):,} are kept" if answer.chars > len(answer.text) else ""
        write_line(f"{answer.chars:,} characters{cut}:")
        write_line(plain(answer.text))
