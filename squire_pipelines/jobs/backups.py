"""The job `back_up`, which makes a backup of the home; the sensor `backups` requests it."""

import dagster as dg

from squire_pipelines.assets.page_urls import board_link
from squire_pipelines.home import named_config
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.traces import run_trace


@dg.op(description="Write ledger, settings, sealed secrets and archive into one file, and remove the oldest backups.")
def write_backup(context: dg.OpExecutionContext, settings: SettingsParam, ledger: LedgerParam) -> None:
    """Leave the earlier backups as they are when this one fails; the condition `backup` tells when none is made."""
    from squire_pipelines.backups.folder import back_up_regularly

    with run_trace(context):
        made, removed = back_up_regularly(
            settings,
            ledger,
            config=named_config() or settings.home.config_file,
            with_archive=settings.backup.archive,
            actor="schedule",
            progress=lambda _label, _done, _total: None,
        )
    context.add_output_metadata(
        {
            "file": dg.MetadataValue.path(str(made.path)),
            "bytes": made.bytes,
            "files": len(made.manifest.members),
            "not_included": list(made.manifest.not_included),
            "removed": [path.name for path in removed],
            **board_link(settings, "/alerts"),
        }
    )


@dg.job(
    name="back_up",
    description="Back up the whole home into one file.",
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": "3600", "squire/part": "back_up"},
)
def back_up() -> None:
    """Run one op."""
    write_backup()
