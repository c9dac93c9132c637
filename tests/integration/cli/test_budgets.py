"""`squire budgets`, and what tasks wait for."""

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Limit, Purpose
from squire_pipelines.ledger import budgets, provider_budgets
from tests.support.cli import REPOSITORY, TRACE, SampleData, Squire

LIMITS = "[budgets.attempt]\nusd = 4\n[budgets.day]\nusd = 10\ntokens = 1000\n[budgets.repository]\nusd = 100\n"


def spend(samples: SampleData, usd: float, name: str = "plan:a") -> None:
    with samples.ledger.write() as tx:
        limits = BudgetLimits(plan=Limit(usd=usd))
        budgets.reserve(tx, name, Purpose.PLAN, limits, repository=REPOSITORY, trace_id=TRACE)


def test_without_limits_there_is_little_to_show(squire: Squire, samples: SampleData) -> None:
    output = squire.ok("budgets", "show")
    assert "An attempt may use: none." in output
    assert "No day, month or repository has a limit" in output
    assert squire.ok("budgets", "list") == "Nothing was reserved yet.\n"
    assert squire.json("budgets", "list") == []
    assert samples.ledger


def test_levels_and_what_waits_are_shown(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n{LIMITS}')
    samples.task()
    spend(samples, 7)
    output = squire.ok("budgets", "show")
    assert "An attempt may use: 4.00 USD, 100 tokens." in output
    assert "7.00 USD, 0 tokens" in output
    assert "used up" in output
    assert f"{REPOSITORY} waits for the budget of the day" in output
    document = squire.json("budgets", "show")
    assert {(level["scope"], level["used_up"]) for level in document["budgets"]} == {
        ("day", True),
        ("repository", False),
    }
    assert list(document["waiting_repositories"]) == [REPOSITORY]


def test_the_limit_of_a_provider_is_shown_with_what_is_left_of_it(squire: Squire, samples: SampleData) -> None:
    squire.config(
        '[providers.claude]\nprotocol = "anthropic"\nmax_usd_per_day = 5\n[providers.other]\nprotocol = "openai"\n'
    )
    spend(samples, 1)
    with samples.ledger.write() as tx:
        provider_budgets.reserve_at_providers(tx, "plan:a", {"claude": 5.0}, 0.5)
    output = squire.ok("budgets", "show")
    assert "The provider claude may cost 5.00 USD a day; 0.50 USD are used or reserved today." in output
    assert squire.json("budgets", "show")["providers"] == {"claude": {"used_usd": 0.5, "usd_per_day": 5.0}}


def test_reservations_are_listed(squire: Squire, samples: SampleData) -> None:
    spend(samples, 7)
    spend(samples, 1, "plan:b")
    with samples.ledger.write() as tx:
        budgets.settle_plan(tx, "plan:b", Amount(0.5, 20), 1)
    assert "0.50 USD, 20 tokens" in squire.ok("budgets", "list")
    (row,) = squire.json("budgets", "list", "--open")
    assert (row["id"], row["reserved"]) == ("plan:a", {"usd": 7.0, "tokens": 0})


def test_tasks_say_that_they_wait_for_a_budget(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n{LIMITS}')
    task = samples.task()
    assert [row["waiting"] for row in squire.json("tasks", "list")] == ["its start"]
    spend(samples, 7)
    (row,) = squire.json("tasks", "list")
    assert row["waiting"].startswith("the budget of the day (7.00 of 10.00 USD")
    assert squire.json("tasks", "show", task)["waiting"] == row["waiting"]


def test_limits_that_let_nothing_start_are_refused(squire: Squire) -> None:
    squire.config("[budgets.attempt]\nusd = 4\n[budgets.day]\nusd = 3\n")
    assert "none could ever start" in squire.fails(3, "config", "validate")
    squire.config(f'[repository."{REPOSITORY}".budgets.day]\nusd = 3\n')
    assert "for all repositories together" in squire.fails(3, "config", "validate")
