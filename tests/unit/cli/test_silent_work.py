"""Commands that work for long without a word say on a terminal what they do: see `terminal.live_line`."""

import ast
from collections.abc import Iterator

from tests.support.house import PACKAGE

LIVE_LINES = {
    "asking the planner",
    "asking the planner's model",
    "checking the ledger",
    "comparing the deliveries that GitHub lists",
    "drawing the report",
    "looking for what is old enough",
    "publishing the warehouse",
    "reading the repositories of the group",
    "reading the repository",
    "reading the warehouse",
    "verifying the audit trail",
}


def _live_lines() -> Iterator[str]:
    for module in (PACKAGE / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            for item in node.items if isinstance(node, ast.With) else ():
                call = item.context_expr
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "live_line":
                    yield ast.literal_eval(call.args[0])


def test_long_silent_work_has_a_live_line() -> None:
    assert sorted(_live_lines()) == sorted(LIVE_LINES)
