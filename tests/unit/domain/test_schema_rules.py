"""Which programs go on with a ledger's schema."""

import pytest

from squire_pipelines.domain.schema_rules import LedgerSchema, oldest_program


@pytest.mark.parametrize(
    ("declared", "oldest"),
    [
        ((("0049", "0049"), ("0048", "0047"), ("0047", "0047")), "0049"),
        ((("0049", "0048"), ("0048", "0048"), ("0047", "0047")), "0048"),
        ((("0049", "0048"), ("0048", "0047"), ("0047", "0047")), "0048"),
        ((("0049", "0047"), ("0048", "0047"), ("0047", "0047")), "0047"),
        ((("0049", "0046"), ("0048", "0048"), ("0047", "0047")), "0048"),
        ((("0049", "0001"), ("0048", "0001"), ("0047", "0047"), ("0044", "0044")), "0047"),
        ((("0047", "0047"),), "0047"),
    ],
    ids=["new", "one back", "two steps of one", "two back", "stopped by one between", "never beyond", "first"],
)
def test_the_oldest_program_is_the_one_that_every_migration_since_lets_go_on(
    declared: tuple[tuple[str, str], ...], oldest: str
) -> None:
    assert oldest_program(declared) == oldest


def test_a_program_uses_its_own_schema_and_newer_ones_that_say_so() -> None:
    assert LedgerSchema("0048").fits("0048")
    assert LedgerSchema("0049", "0048").fits("0048")
    assert not LedgerSchema("0049", "0049").fits("0048")
    assert not LedgerSchema("0049").fits("0048")
    assert not LedgerSchema("0047", "0047").fits("0048"), "an older schema lacks what the program needs"
    assert not LedgerSchema().fits("0048")
    assert not LedgerSchema("a1b2c3", "0001").fits("0048")


@pytest.mark.parametrize(
    ("schema", "step"),
    [
        (LedgerSchema("0049", "0049"), "install the newer Squire here"),
        (LedgerSchema("0047"), "run `squire ledger upgrade`"),
        (LedgerSchema(), "the ledger's schema is missing"),
    ],
)
def test_what_is_unfit_says_why_and_what_ends_it(schema: LedgerSchema, step: str) -> None:
    reason = schema.why_unfit("0048", "1.2.0")
    assert reason is not None
    assert step in reason
    assert "Squire 1.2.0 knows 0048" in reason
    assert LedgerSchema("0049", "0048").why_unfit("0048", "1.2.0") is None
