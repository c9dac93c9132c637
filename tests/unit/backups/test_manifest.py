from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from squire_pipelines.backups.manifest import BackupManifest, BackupMember, check_name, target_of
from squire_pipelines.home import Home

HOME = Home(config=Path("/c"), data=Path("/d"), cache=Path("/x"), state=Path("/s"))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("ledger.sqlite", None),
        ("settings/config.toml", "/c/config.toml"),
        ("settings/secrets.sealed", "/c/secrets.sealed"),
        ("settings/templates/fix it.toml", "/c/templates/fix it.toml"),
        ("settings/migrations/0001.done", "/c/migrations/0001.done"),
        ("settings/goals/teams/shop.md", "/c/teams/shop.md"),
        ("dagster/dagster.yaml", "/s/dagster/dagster.yaml"),
        ("archive/model_calls/2026-03-01-031700000000ab12cd.parquet", None),
    ],
)
def test_each_member_has_its_place_in_a_home(name: str, target: str | None) -> None:
    path = target_of(name, HOME)
    if name.startswith("archive/"):
        assert path == HOME.archive / name.removeprefix("archive/")
    else:
        assert path == (None if target is None else Path(target))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "settings/../x",
        "settings/goals/../../x",
        "settings/goals//x",
        "settings/goals/.ssh/x",
        "settings/templates/a/b.toml",
        "settings/templates/",
        "settings/other.toml",
        "archive/x.parquet",
        "archive/tasks/../x.parquet",
        "archive/tasks/x.txt",
        "settings/goals/a\nb",
        "settings/goals/a\0b",
        "settings/goals/" + "x" * 100,
        "",
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no place in a home"):
        check_name(name)


def made_of(*names: str) -> BackupManifest:
    members = tuple(BackupMember(name=name, size=1, sha256="0" * 64) for name in names)
    made_at = datetime(2026, 3, 1, tzinfo=UTC)
    return BackupManifest(squire="1", made_at=made_at, revision="0001", database="sqlite", counts={}, members=members)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("ledger.sqlite", "ledger.sqlite"), "twice"),
        (("settings/config.toml",), "no ledger"),
        (("ledger.sqlite", "../x"), "no place"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        made_of(*names)
    assert made_of("settings/config.toml", "ledger.sqlite").ledger_bytes == 1


@pytest.mark.parametrize(
    "change",
    [
        {"squire": "1\n ok: restored"},
        {"squire": "x" * 101},
        {"made_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))},
        {"made_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
        {"counts": {"tasks": -5}},
        {"counts": {"tasks\nok: restored": 5}},
    ],
)
def test_what_a_manifest_says_is_bounded(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BackupManifest.model_validate({**made_of("ledger.sqlite").model_dump(), **change})
