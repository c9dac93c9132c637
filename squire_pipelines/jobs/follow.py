"""The job `follow`: one look at our open pull requests, as deliveries and GitHub tell of them."""

import dagster as dg

from squire_pipelines.assets.page_urls import board_link, pull_request_list
from squire_pipelines.assets.tables import preview
from squire_pipelines.resources.parameters import GitHubParam, LedgerParam, SettingsParam
from squire_pipelines.traces import run_trace


@dg.op(
    description="Apply deliveries to our pull requests, ask GitHub about the others, settle approvals; then take the "
    "next step on each: update it, mend checks, answer remarks, merge where the settings want that, or leave it to "
    "people."
)
async def follow_pull_requests(
    context: dg.OpExecutionContext,
    settings: SettingsParam,
    ledger: LedgerParam,
    github: GitHubParam,
) -> None:
    """Take one look; repeating it is harmless, since what was recorded already changes nothing."""
    from squire_pipelines.execution.announcing import announce
    from squire_pipelines.execution.base_updates import BaseKeeper
    from squire_pipelines.execution.dashboards import keep_dashboards
    from squire_pipelines.execution.ending_judgement import judge_endings
    from squire_pipelines.execution.expiry import expire_pulls
    from squire_pipelines.execution.follow_telling import tell
    from squire_pipelines.execution.following import take_steps
    from squire_pipelines.execution.head_reporting import report_heads
    from squire_pipelines.execution.merge_looks import look_at_merges
    from squire_pipelines.execution.remark_hearing import show_what_was_heard
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.publishing import follow as following

    with run_trace(context):
        own = repository_settings(ledger, settings)
        summary = await following.follow(ledger, own.of_all, github, context.log)
        async with github.client() as client:
            endings = await judge_endings(ledger, github, client, own.of, context.log)
            bases = await BaseKeeper(ledger, github, client, own.of, context.log).keep()
            steps = take_steps(ledger, own.of)
            merges = await look_at_merges(ledger, client, own.of, context.log)
            expired = await expire_pulls(ledger, client, own.of, context.log)
            heard = await show_what_was_heard(ledger, client, own.of, context.log)
            pulls_told = await tell(ledger, client, own.of, context.log)
            reported = await report_heads(ledger, client, own.of, context.log)
            announced = await announce(ledger, client, settings, own.of, context.log)
            dashboards = await keep_dashboards(ledger, client, settings, own.of, context.log)
    context.add_output_metadata(
        {
            "deliveries": summary.deliveries,
            "asked": summary.asked,
            "waiting_for_approval": summary.waiting,
            "approved": summary.approved,
            "ended": endings.judged,
            "landed_elsewhere": endings.landed,
            "reverted": endings.reverted,
            "bases": bases,
            "steps": len(steps),
            "merged_or_queued": merges.merged,
            "bases_judged": merges.bases,
            "heard": heard,
            "expired": expired,
            "told": pulls_told + merges.ends_told,
            "reported": reported,
            "announced": announced,
            "dashboards": dashboards,
            **board_link(settings, "/"),
            **pull_request_list(settings, ((step.repository, step.number) for step in steps)),
            "steps_preview": preview(
                ("pull request", "state", "waits for", "task"),
                ((f"{s.repository}#{s.number}", s.step.state.value, s.step.reason, s.task_id or "") for s in steps),
            ),
        }
    )


@dg.job(
    name="follow",
    description="Record what became of our pull requests, from deliveries and, where none comes, by asking GitHub; "
    "keep them up to date with their bases, mend their checks, answer their remarks, and leave to people what is left.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "900", "squire/part": "follow"},
)
def follow() -> None:
    """Run one op."""
    follow_pull_requests()
