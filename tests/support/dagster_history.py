"""Many runs and ticks of Dagster in a home: copies of the files and rows of one real run, made without any process."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from uuid import uuid4

from squire_pipelines.upkeep.dagster_files import DagsterFiles

_TICK_BYTES = 750
_STATUSES = {status: {"__enum__": f"DagsterRunStatus.{status}"} for status in ("SUCCESS", "FAILURE")}


def copy_run(
    files: DagsterFiles, run_id: str, *, count: int, job: str, status: str, ended: datetime, step: timedelta
) -> None:
    """Copy a run `count` times, as runs of a job that ended at `ended` and each a `step` before."""
    with (
        closing(sqlite3.connect(files.runs, isolation_level=None)) as runs,
        closing(sqlite3.connect(files.index, isolation_level=None)) as index,
    ):
        (text,) = runs.execute("SELECT run_body FROM runs WHERE run_id = ?", [run_id]).fetchone()
        described = json.loads(text)
        for connection in (runs, index):
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN")
        for number in range(count):
            new, at = str(uuid4()), ended - number * step
            body = json.dumps({**described, "pipeline_name": job, "run_id": new, "status": _STATUSES[status]})
            own = {"pipeline_name": job, "status": status, "run_body": body, **_times(at)}
            _copy_rows(runs, "runs", run_id, new, own)
            _copy_rows(runs, "run_tags", run_id, new, {})
            _copy_rows(index, "event_logs", run_id, new, {"timestamp": f"{at:%Y-%m-%d %H:%M:%S.%f}"})
            _copy_rows(index, "asset_check_executions", run_id, new, {"create_timestamp": f"{at:%Y-%m-%d %H:%M:%S}"})
            shutil.copyfile(files.events / f"{run_id}.db", files.events / f"{new}.db")
            shutil.copytree(files.output / run_id, files.output / new)
        for connection in (runs, index):
            connection.execute("COMMIT")


def add_ticks(files: DagsterFiles, *, count: int, ended: datetime, step: timedelta) -> None:
    """Add ticks that asked for nothing."""
    body = json.dumps({"skip_reason": "x" * _TICK_BYTES})
    moments = (ended - number * step for number in range(count))
    with closing(sqlite3.connect(files.ticks, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body) "
            "VALUES (?, ?, 'SKIPPED', 'SENSOR', ?, ?)",
            (("a" * 40, "b" * 40, f"{at:%Y-%m-%d %H:%M:%S.%f}", body) for at in moments),
        )
        connection.execute("COMMIT")


def _times(at: datetime) -> dict[str, object]:
    stamp = f"{at:%Y-%m-%d %H:%M:%S.%f}"
    seconds = at.timestamp()
    return {"create_timestamp": stamp, "update_timestamp": stamp, "start_time": seconds, "end_time": seconds}


def _copy_rows(connection: sqlite3.Connection, table: str, old: str, new: str, values: dict[str, object]) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
    own: dict[str, object] = {"run_id": new, **values}
    terms = [f":{name}" if name in own else _with_id(name) for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        f"INSERT INTO {table} ({names}) "  # noqa: S608 - Dagster's own names
        f"SELECT {', '.join(terms)} FROM {table} WHERE run_id = :old",
        {**own, "old": old, "new": new},
    )


def _with_id(name: str) -> str:
    """Return a column as it is, with the new run's id in the texts that name it."""
    return f'replace("{name}", :old, :new)' if name in {"event", "evaluation_event"} else f'"{name}"'
