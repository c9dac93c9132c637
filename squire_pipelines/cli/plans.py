"""`squire plans`: what planners proposed for the repositories, and what the checks found."""

import click

from squire_pipelines.cli import queries
from squire_pipelines.cli.context import (
    CliContext,
    after_option,
    emit_json,
    json_option,
    limit_option,
    more,
    pass_cli_context,
    table,
)
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.parameters import repository_option
from squire_pipelines.cli.text import instant, one_line
from squire_pipelines.ledger import plans as plan_rows

plans = LazyGroup(name="plans", help="What planners proposed.")


@command("list", examples=("squire plans list --repository owner/name",))
@repository_option
@after_option(str)
@limit_option()
@json_option
@pass_cli_context
def list_plans(context: CliContext, repository: str | None, limit: int, after: str | None, *, as_json: bool) -> None:
    """List plans, newest first."""
    with context.ledger.read() as tx:
        rows = queries.plan_page(tx, repository=repository, limit=limit, after=after)
    more(rows, limit)
    if as_json:
        emit_json(rows)
        return
    if not rows:
        click.echo("No plans yet: a plan follows the first collection.")
        return
    columns = ("id", "repository", "planner", "proposed", "created", "findings", "made at")
    cells = [
        (
            row["id"],
            row["repository"],
            row["planner"],
            row["tasks_proposed"],
            row["tasks_created"],
            len(row["findings"]) or "",
            instant(row["created_at"]),
        )
        for row in rows
    ]
    context.console.print(table(columns, cells))


@command("show", examples=("squire plans show p0m1e2x3a4m5p6l", "squire plans show p0m1e2x3a4m5p6l --json"))
@click.argument("plan_id", metavar="ID")
@json_option
@pass_cli_context
def show(context: CliContext, plan_id: str, *, as_json: bool) -> None:
    """Show a plan with its tasks and what its checks found."""
    with context.ledger.read() as tx:
        saved = plan_rows.get(tx, plan_id)
    plan = saved.plan
    if as_json:
        emit_json(
            {
                "id": saved.id,
                **plan.model_dump(mode="json"),
                "findings": [
                    {"check": each.check, "task": each.task, "message": each.message} for each in saved.findings
                ],
                "trace_id": saved.trace_id,
                "created_at": saved.created_at,
                "admitted_at": saved.admitted_at,
            }
        )
        return
    click.echo(f"{saved.id}  {plan.repository}  by {one_line(plan.planner)}")
    click.echo(
        f"made {instant(saved.created_at)}, admitted {instant(saved.admitted_at) or 'not'}, trace {saved.trace_id}"
    )
    for remark in plan.notes:
        click.echo(f"note: {one_line(remark)}")
    for finding in saved.findings:
        click.echo(f"finding: {finding.check}: {one_line(finding.message)}")
    columns = ("key", "title", "kind", "priority", "risk", "confidence", "depends on", "answers")
    cells = [
        (
            task.key,
            task.title,
            task.kind,
            task.priority.name.lower(),
            task.risk,
            f"{task.confidence:.2f}",
            ", ".join(task.depends_on),
            ", ".join(task.signals),
        )
        for task in plan.tasks
    ]
    if cells:
        context.console.print(table(columns, cells))
    else:
        click.echo("It proposes no tasks.")


plans.add_command(list_plans)
plans.add_command(show)
