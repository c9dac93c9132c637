"""`squire plans replay`: have another model or prompt plan from the same, and compare task by task."""

import asyncio
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.parameters import PLAN_ID
from squire_pipelines.cli.plan_differences import describe_use, differences_as_json, write_differences
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.cli.text import counted
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import write_line


@command(
    "replay",
    examples=(
        "squire plans replay p0m1e2x3a4m5p6l --model openai:gpt-5",
        "squire plans replay p0m1e2x3a4m5p6l --prompt ./prompts",
    ),
)
@click.argument("plan_id", metavar="ID", type=PLAN_ID)
@click.option("--model", metavar="NAME", help="Ask this model, in place of the settings'.")
@click.option(
    "--prompt",
    "prompts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Take the prompt's files from this folder, in place of the settings'.",
)
@json_option
@with_context
def replay(context: CliContext, plan_id: str, model: str | None, prompts: Path | None, *, as_json: bool) -> None:
    """Plan again from what a plan was made from, by another model or prompt, and compare the two, task by task.

    Inputs are kept for `retention.plan_answers_days`, without secrets. The model is paid for from the budgets, and the
    same question is not paid for twice; no plan is saved, and no task is made. Exit codes: 1 where there is no such
    plan, its inputs are not kept, or the model's answer is no plan; 3 where the model's key, name or quota, or the
    prompt has to be put right; 4 where it does not answer; 5 where a budget has no room.
    """
    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - the other commands start sooner
    from squire_pipelines.execution.plan_replay import replay_plan  # noqa: PLC0415 - likewise
    from squire_pipelines.execution.repository_settings import settings_in  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger import plans  # noqa: PLC0415 - likewise

    hand_on_config(context)
    with context.ledger.read() as tx:
        repository = plans.get(tx, plan_id).plan.repository
    unlock_store(context, context.settings.secret_sources)
    settings = settings_in(context.ledger, context.settings, repository)
    with live_line("asking the planner"):
        done = asyncio.run(replay_plan(settings, context.ledger, plan_id, model=model, prompts=prompts))
    if as_json:
        emit_json(
            {
                "plan": plan_id,
                "repository": repository,
                "inputs_are_whole": done.inputs.is_whole,
                "before": _as_json(done.before.plan),
                "after": _as_json(done.after),
                "differences": differences_as_json(done.differences),
            }
        )
        return
    if not done.inputs.is_whole:
        write_line("note: the inputs were shortened when they were recorded, since there were many or long ones")
    for name, plan in (("recorded", done.before.plan), ("now", done.after)):
        prompt = f", prompt {plan.prompt_version}" if plan.prompt_version else ""
        tasks = counted(len(plan.tasks), "task")
        write_line(f"{name}: {tasks} by {one_line(plan.planner)}{prompt}{describe_use(plan.use)}")
    for note in done.after.notes:
        write_line(f"note: {one_line(note)}")
    write_differences(done.differences, f"the plan {plan_id}")


def _as_json(plan: Plan) -> dict[str, object]:
    made = {"model": plan.model, "provider": plan.provider, "prompt_version": plan.prompt_version, "use": plan.use}
    return {**plan.model_dump(mode="json"), **made}
