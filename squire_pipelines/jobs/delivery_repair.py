"""The job `repair_deliveries`: what GitHub has sent and is not in the inbox is asked for again."""

import dagster as dg

from squire_pipelines.assets.page_urls import board_link
from squire_pipelines.assets.tables import preview
from squire_pipelines.resources.parameters import GitHubParam, LedgerParam, SettingsParam
from squire_pipelines.traces import run_trace


@dg.op(
    description="Compare the deliveries that GitHub lists with those that are here; have GitHub send again what is "
    "missing, and the repositories read."
)
async def compare_deliveries(
    context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam, github: GitHubParam
) -> None:
    """Repeating it is harmless: a delivery that comes twice has one effect."""
    from squire_pipelines.execution.delivery_repair import RepairOptions, log_repair, repair_deliveries

    with run_trace(context) as trace_id:
        result = await repair_deliveries(ledger, settings, github, RepairOptions(), trace_id=trace_id)
        log_repair(result)
    for hook in result.hooks:
        if hook.error:
            context.log.warning("%s: %s; %s", hook.hook, hook.error, hook.hint)
    unseen = ((hook.name, hook.reason, hook.hint) for hook in result.unseen)
    unrepaired = ((hook.hook, hook.error, hook.hint) for hook in result.hooks if hook.error)
    context.add_output_metadata(
        {
            "hooks": len(result.hooks),
            "not_compared": len(result.unseen),
            "listed": result.count("listed"),
            "missing": result.missing,
            "failed_at_github": result.count("failed"),
            "asked_again": result.count("asked"),
            "arrived": result.count("arrived"),
            "collections": sum(len(hook.collected) for hook in result.hooks),
            "idle": result.idle or "no",
            **board_link(settings, "/alerts"),
            "problems": preview(("hook", "problem", "what to do"), (*unrepaired, *unseen)),
        }
    )


@dg.job(
    name="repair_deliveries",
    description="Find deliveries that GitHub sent and that are not here, and have them sent again within its 3 days.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "900", "squire/part": "webhooks"},
)
def repair_deliveries() -> None:
    """Run one op."""
    compare_deliveries()
