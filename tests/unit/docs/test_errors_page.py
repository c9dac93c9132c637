"""The page of causes and error codes: complete, and no older than the code."""

import ast
import importlib.util
from pathlib import Path

import squire_pipelines
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.remedies import CAUSES, REMEDIES, remedy_text

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("errors_reference", ROOT / "scripts" / "errors_reference.py")
assert _SPEC is not None
assert _SPEC.loader is not None
SCRIPT = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(SCRIPT)


def test_the_page_is_up_to_date_and_has_each_cause_and_code_once() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert page == SCRIPT.page()
    causes, _, codes = page.partition("## Error codes")
    assert [causes.count(f"| `{cause}` |") for cause in Cause] == [1] * len(Cause)
    assert [codes.count(f"| `{code}` |") for code in REMEDIES] == [1] * len(REMEDIES)


def test_every_error_of_the_project_has_its_own_code_and_what_to_do() -> None:
    classes = SCRIPT.error_classes()
    assert set(classes) == set(REMEDIES)
    defined = {
        node.name
        for path in Path(squire_pipelines.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if any(isinstance(line, ast.Assign) and _sets_code(line) for line in node.body)
    }
    assert defined == {kind.__name__ for kind in classes.values()}


def _sets_code(line: ast.Assign) -> bool:
    return [target.id for target in line.targets if isinstance(target, ast.Name)] == ["code"]


def test_a_terminal_gets_the_names_of_pages_in_place_of_links() -> None:
    assert all("](" not in remedy_text(cause) for cause in Cause)
    assert "“A lost attempt”" in remedy_text(Cause.LOST)
    assert set(CAUSES) == set(Cause)
