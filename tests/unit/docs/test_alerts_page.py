"""The guide's table of rules says what the code does."""

from squire_pipelines.alerting import watch, webhook
from squire_pipelines.domain.alert_rules import DEFAULT_POLICIES
from tests.support.house import ROOT


def test_the_page_has_each_rule_with_its_defaults() -> None:
    text = (ROOT / "docs" / "guide" / "alerts.md").read_text(encoding="utf-8")
    section = text.partition("## The rules")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    assert [(row[0], row[2], row[3], row[4]) for row in rows] == [
        (
            f"`{rule}`",
            str(policy.threshold or ""),
            f"{policy.after_s:.0f} s",
            f"{policy.repeat_after_s / 3600:.0f} h",
        )
        for rule, policy in DEFAULT_POLICIES.items()
    ]


def test_the_page_has_the_times_of_the_code() -> None:
    text = (ROOT / "docs" / "guide" / "alerts.md").read_text(encoding="utf-8")
    assert f"which is read every {watch.FACTS_EVERY_S:.0f} seconds" in text
    assert "a message may take ten seconds in all" in text
    assert webhook.TIMEOUT_S == 10
