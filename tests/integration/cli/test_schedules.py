"""`squire tasks new --every|--at` and `squire schedules`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.tenants import record_tenants
from tests.support.cli import REPOSITORY, SampleData, Squire

SETTINGS = f'repositories = ["{REPOSITORY}"]\n'
WEEKLY = ("--every", "0 3 * * 1")


def scheduled(squire: Squire, *words: str) -> dict[str, Any]:
    """Make a schedule by command and return what it says of it."""
    made: dict[str, Any] = squire.json("tasks", "new", REPOSITORY, "Update the\ndependencies.", *words)
    return made


def test_a_request_with_a_cron_text_is_a_schedule_and_no_task_yet(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    options = ("--timezone", "Europe/Berlin", "--priority", "low", "--base", "release/1", "--no-start")
    made = scheduled(squire, *WEEKLY, *options)
    assert squire.json("tasks", "list") == []
    (row,) = squire.json("schedules", "list")
    assert row == made
    assert (row["cron"], row["time_zone"], row["state"], row["hold"]) == ("0 3 * * 1", "Europe/Berlin", "active", True)
    assert (row["spec"]["prompt"], row["spec"]["base_branch"]) == ("Update the\ndependencies.", "release/1")
    first = datetime.fromisoformat(row["next_at"])
    assert (first.minute, first.second) == (0, 0)
    assert first - datetime.now(UTC) < timedelta(days=7, hours=1)
    (entry,) = samples.read(audit_page, limit=10, action="schedules.*")
    assert (entry.action, entry.subject, entry.detail["cron"]) == (
        "schedules.new",
        f"acme/shop {made['id']}",
        "0 3 * * 1",
    )
    shown = squire.ok("schedules", "show", made["id"])
    assert "by the clocks of Europe/Berlin" in shown
    assert "None has come yet." in shown
    assert made["id"] in squire.ok("schedules", "list")


def test_a_schedule_and_what_was_done_to_it_are_its_repositorys_tenants(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    record_tenants(samples.ledger, {"acme/shop": "acme"})
    made = scheduled(squire, *WEEKLY)
    squire.ok("schedules", "remove", made["id"])
    for tenant, count in (("acme", 1), ("beta", 0)):
        assert len(squire.json("schedules", "list", "--all", "--tenant", tenant)) == count
        done = squire.json("audit", "list", "--action", "schedules.*", "--tenant", tenant)
        assert [row["action"] for row in done] == ["schedules.remove", "schedules.new"][: 2 * count]


def test_a_request_can_be_put_off_to_a_time(squire: Squire, samples: SampleData) -> None:  # noqa: ARG001 - a ledger
    squire.config(SETTINGS)
    later = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    made = scheduled(squire, "--at", later.isoformat())
    assert (made["cron"], datetime.fromisoformat(made["next_at"])) == (None, later)
    output = squire.ok("tasks", "new", REPOSITORY, "Once", "--at", f"{later:%Y-%m-%dT%H:%M}")
    assert f"the first task comes {later:%Y-%m-%d %H:%M} UTC" in output


def test_a_schedule_names_the_template_whose_words_it_has(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    words = ("--template", "squire:raise-coverage", "--param", "path=src/billing.py", "--every", "@daily")
    made = squire.json("tasks", "new", REPOSITORY, *words)
    assert (made["cron"], made["template"].split()[0]) == ("@daily", "squire:raise-coverage")
    assert made["template"] in squire.ok("schedules", "show", made["id"])
    (entry,) = samples.read(audit_page, limit=10, action="schedules.new")
    assert entry.detail["template"] == made["template"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--every", "every day"), "five fields"),
        (("--every", "* * * * * *"), "five fields"),
        (("--every", "0 0 30 2 *"), "never comes"),
        (("--every", "61 * * * *"), "five fields"),
        (("--every", ""), "five fields"),
        ((*WEEKLY, "--timezone", "Europe/Atlantis"), "no time zone has this name"),
        ((*WEEKLY, "--timezone", "../etc/passwd"), "no time zone has this name"),
        (("--at", "2020-01-01T00:00"), "is past"),
        (("--at", "soon"), "not a time"),
        ((*WEEKLY, "--at", "2099-01-01T00:00"), "exclude each other"),
        (("--timezone", "Europe/Berlin"), "give one of them"),
        ((*WEEKLY, "--branch", "mine"), "--branch"),
        ((*WEEKLY, "--depends-on", "t0m1e2x3a4m5p6l"), "--depends-on"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    squire: Squire,
    samples: SampleData,  # noqa: ARG001 - a ledger
    words: tuple[str, ...],
    says: str,
) -> None:
    squire.config(SETTINGS)
    result = squire("tasks", "new", REPOSITORY, "Tidy", *words)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert squire.json("schedules", "list", "--all") == []
    assert squire.json("tasks", "list") == []


def test_settings_decide_which_repositories_and_how_many(squire: Squire, samples: SampleData) -> None:  # noqa: ARG001
    squire.config(f"{SETTINGS}[dispatch]\nmax_schedules = 1\n")
    assert squire("tasks", "new", "acme/unknown", "Tidy", *WEEKLY).exit_code == 3
    assert squire("tasks", "new", REPOSITORY, "Tidy", *WEEKLY, "--agent", "nobody").exit_code == 3
    scheduled(squire, *WEEKLY)
    refused = squire("tasks", "new", REPOSITORY, "Tidy", *WEEKLY)
    assert refused.exit_code == 5
    assert "may not have more" in refused.stderr


def test_people_pause_resume_and_remove_schedules(squire: Squire, samples: SampleData) -> None:
    squire.config(SETTINGS)
    schedule_id = scheduled(squire, *WEEKLY)["id"]
    assert squire.ok("schedules", "pause", schedule_id) == f"{schedule_id}: paused\n"
    assert squire.json("schedules", "show", schedule_id)["next_at"] is None
    assert squire("schedules", "pause", schedule_id).exit_code == 1
    assert "goes on; the next task comes" in squire.ok("schedules", "resume", schedule_id)
    assert squire.ok("schedules", "remove", schedule_id) == f"{schedule_id}: removed\n"
    assert squire.json("schedules", "list") == []
    assert [row["state"] for row in squire.json("schedules", "list", "--all")] == ["removed"]
    assert squire("schedules", "resume", schedule_id).exit_code == 1
    assert squire("schedules", "show", "s0").exit_code == 1
    actions = [entry.action for entry in samples.read(audit_page, limit=10, action="schedules.*")]
    assert actions == ["schedules.remove", "schedules.resume", "schedules.pause", "schedules.new"]


def test_one_that_is_wrong_keeps_the_others_as_they_are(squire: Squire, samples: SampleData) -> None:  # noqa: ARG001
    squire.config(SETTINGS)
    schedule_id = scheduled(squire, *WEEKLY)["id"]
    assert squire("schedules", "pause", schedule_id, "s0").exit_code == 1
    assert squire.json("schedules", "show", schedule_id)["state"] == "active"
