"""`--tenant`: each list shows what is one tenant's, and nothing of another's."""

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.doctor.needed_secrets import check_secrets
from squire_pipelines.ledger import tenants
from tests.support.cli import SampleData, Squire
from tests.support.tenants import SETTINGS, WORDS, TenantWork, fill

LISTS = (
    ("tasks", "list"),
    ("tasks", "list", "--order", "changed"),
    ("tasks", "list", "--status", "ready", "--text", "waiting"),
    ("plans", "list"),
    ("signals", "list"),
    ("signals", "collections"),
    ("budgets", "list"),
    ("status",),
    ("audit", "list"),
)


@pytest.fixture
def work(squire: Squire, samples: SampleData) -> dict[str, TenantWork]:
    squire.config(SETTINGS)
    return fill(samples.ledger)


def test_every_list_shows_one_tenants_rows_alone(squire: Squire, work: dict[str, TenantWork]) -> None:
    for words in LISTS:
        for tenant in ("acme", "beta"):
            text = squire.ok(*words, "--tenant", tenant, "--json")
            other = work["beta" if tenant == "acme" else "acme"]
            assert work[tenant].repository in text or work[tenant].word in text, (words, tenant, text)
            for foreign in (other.repository, other.word, WORDS["default"]):
                assert foreign not in text, (words, tenant)
        assert all(one.repository in squire.ok(*words, "--json") for one in work.values()), words


def test_budgets_are_shown_with_their_tenant(squire: Squire, work: dict[str, TenantWork]) -> None:
    levels = squire.json("budgets", "show", "--tenant", "beta")["budgets"]
    assert [(level["scope"], level["tenant"]) for level in levels] == [("tenant_day", "beta")]
    assert {level["tenant"] for level in squire.json("budgets", "show")["budgets"]} == {"acme", "beta"}
    assert "tenant's day  all of acme" in squire.ok("budgets", "show")
    assert work


def test_what_no_tenant_has_is_the_houses(squire: Squire, work: dict[str, TenantWork]) -> None:
    rows = squire.json("tasks", "list", "--tenant", "default")
    assert {row["repository"] for row in rows} == {work["default"].repository}
    subjects = {row["subject"] for row in squire.json("audit", "list", "--tenant", "default")}
    assert work["default"].ended in subjects
    assert not subjects & {work["acme"].ended, work["beta"].attempt}


def test_a_move_takes_along_what_goes_on_and_leaves_what_was_over(
    squire: Squire, samples: SampleData, work: dict[str, TenantWork]
) -> None:
    tenants.record_tenants(samples.ledger, {"acme/shop": "beta"})
    ids = {name: {row["id"] for row in squire.json("tasks", "list", "--tenant", name)} for name in ("acme", "beta")}
    assert ids["acme"] == {work["acme"].ended}
    assert {work["acme"].waiting, work["beta"].ended} <= ids["beta"]
    plans = squire.json("plans", "list", "--tenant", "acme")
    assert work["acme"].plan in {row["id"] for row in plans}
    assert {row["repository"] for row in squire.json("signals", "list", "--tenant", "beta")} == {
        "acme/shop",
        "beta/site",
    }
    assert squire.json("signals", "list", "--tenant", "acme") == []


def test_a_name_that_no_tenant_can_have_is_refused(squire: Squire, samples: SampleData) -> None:
    assert "small letters and digits" in squire.fails(2, "tasks", "list", "--tenant", "a' OR '1")
    assert "shows nothing" in squire.fails(2, "status", "--now", "--tenant", "acme")
    assert samples.ledger


def test_a_tenants_warehouse_is_read_and_published_with_the_whole_one(
    squire: Squire, work: dict[str, TenantWork]
) -> None:
    squire.ok("history", "publish")
    assert squire.ok("history", "path", "--tenant", "acme").strip().endswith("warehouse-acme.duckdb")
    titles = squire.ok("history", "sql", "--tenant", "acme", "--csv", "SELECT title FROM tasks")
    assert work["acme"].word in titles
    assert work["beta"].word not in titles
    totals = {name: squire.json("history", "report", *words)["totals"]["created"] for name, words in _REPORTS.items()}
    assert totals["acme"] < totals["all"]


_REPORTS = {"all": (), "acme": ("--tenant", "acme")}


def test_a_tenant_without_a_budget_waits_with_its_reason_where_each_needs_one(
    squire: Squire, work: dict[str, TenantWork]
) -> None:
    squire.config(f"dispatch.tenants_need_budgets = true\n{SETTINGS.replace('budgets.day.usd = 100', '', 1)}")
    reason = "its tenant acme has no budget, which dispatch.tenants_need_budgets asks for"
    waits = {row["id"]: row["waiting"] for row in squire.json("tasks", "list", "--status", "ready")}
    assert waits[work["acme"].waiting].startswith(reason)
    assert "no budget" not in waits[work["beta"].waiting]
    assert reason in squire.ok("tasks", "show", work["acme"].waiting)
    (group,) = squire.json("status", "--tenant", "acme")["waiting"]["groups"]
    assert group["text"].startswith(reason)


def test_the_doctor_says_of_each_tenant_what_it_lacks(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    squire.config(f'{SETTINGS}house_secrets = ["github-token"]\n[board]\nlogin = "token"\n')
    lines = {one.name: (one.status, one.message) for one in check_secrets(CliContext()) if "." in one.name}
    assert lines["acme.github-token"][0] == "warn"
    assert lines["beta.github-token"] == ("ok", "not set: the tenant may use the house's")
    assert {status for name, (status, _) in lines.items() if name != "acme.github-token"} == {"ok"}
