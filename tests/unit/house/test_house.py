"""The house as its documents draw it: folders, import contracts, names, circles, length of modules."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from squire_pipelines.ledger.tables import metadata
from tests.support import house
from tests.support.house import PACKAGE, ROOT

MAX_LINES = 400
# Ordinary words of the table of old names, which other things may be called: a list's `order`, a path's `origin`.
RENAMED = (
    "Door|gateway_for_attempt|Books|hand_in|is_handed_in|holding|take_over|Way|led_back|headers_out|headers_back|Judgement|"
    "Asking|Housing|Ground|Engineering|Watched|Observed|remove_surely|_last_words|ask_whether_the_engine_ended_it|"
    "boottime|Soundness|known_fact|IN_VAIN|_WISH|give_back|why_held|askable|neutralise|EVERY_LOOK|for_each|"
    "set_wals_aside|keep_end|served_alone|birth_of|end_leftovers|gateway_for|Hot|complaint|_look|_mine|_examine|order_of"
)


def _contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(settings["tool"]["importlinter"]["contracts"])


def _rooms() -> set[str]:
    """Return the package's folders and modules as import-linter names them."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    return {f"squire_pipelines.{name}" for name in folders | modules}


def _tables() -> set[str]:
    """Return every path that the tables of the architecture page name in their first column."""
    text = (ROOT / "docs/reference/architecture.md").read_text(encoding="utf-8")
    section = text.partition("## The house")[2].partition("\n## ")[0]
    paths: set[str] = set()
    for row in re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        parent = first.rpartition("/")[0] if first.endswith(".py") else ""
        paths |= {first, *(f"{parent}/{name}" for name in others)}
    return paths


def test_the_architecture_page_names_every_folder_and_module_of_the_package_and_no_other() -> None:
    tree = {
        f"{room.replace('.', '/')}{'.py' if (ROOT / (room.replace('.', '/') + '.py')).is_file() else '/'}"
        for room in _rooms()
    }
    named = {path for path in _tables() if path.startswith("squire_pipelines/")}
    assert named == tree


def test_the_architecture_page_names_every_folder_beside_the_package() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()
    folders = {f"{path.partition('/')[0]}/" for path in tracked if "/" in path and not path.startswith(".")}
    assert {path for path in _tables() if path.endswith("/") and path.count("/") == 1} == folders - {
        "squire_pipelines/"
    }


def test_the_import_contracts_cover_every_folder_and_module() -> None:
    libraries, domain = _contracts()[:2]
    ours = {name for name in libraries["forbidden_modules"] if name.startswith("squire_pipelines.")}
    assert set(libraries["source_modules"]) | ours == _rooms()
    assert not set(libraries["source_modules"]) & ours
    # What a library may not import, domain may not import either: it is one of them.
    assert set(domain["forbidden_modules"]) | {"squire_pipelines.domain"} == set(libraries["source_modules"])


def test_no_module_is_part_of_an_import_circle_also_inside_functions() -> None:
    assert house.circle(house.imports()) == []


def test_no_folder_is_part_of_an_import_circle() -> None:
    assert house.circle(house.package_graph(house.imports())) == []


def test_every_name_says_what_it_holds() -> None:
    assert house.names_that_say_nothing() == []


def test_every_column_of_the_ledger_says_what_it_holds() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    assert [str(column) for column in columns if set(column.name.split("_")) & house.EMPTY_NAMES] == []


# What writes without passing `terminal/`, and why it may.
WRITES_ITSELF = {
    "squire_pipelines/cli/__main__.py": "its two sentences are constants, which Pythons too old for the package read",
}


def test_only_the_terminal_folder_writes_for_people() -> None:
    places = {place for place in house.writes_of_their_own(house.modules()) if "/terminal/" not in place}
    assert {place.partition(":")[0] for place in places} == set(WRITES_ITSELF)


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "import click\nsay = click.echo",
        "from click import secho as tell\ntell('x')",
        "from rich.console import Console\nConsole()",
        "import rich.console as c\nc.Console()",
        "import sys\nsys.stderr.write('x')",
        "import csv\ncsv.writer(file)",
        "import traceback\ntraceback.print_exc()",
    ],
)
def test_a_module_that_writes_for_people_itself_is_noticed(source: str) -> None:
    assert house.writes_of_their_own({"module.py": ast.parse(source)})


def test_no_two_classes_have_one_name() -> None:
    assert {name: places for name, places in house.classes().items() if len(places) > 1} == {}


def test_no_old_name_is_left() -> None:
    hits = subprocess.run(
        ["git", "grep", "-nwE", RENAMED, "--", "squire_pipelines"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert hits.stdout == ""


@pytest.mark.parametrize("folder", ["squire_pipelines", "forge"])
def test_no_module_is_longer_than_can_be_read_in_one_go(folder: str) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_op_and_asset_puts_its_runs_trace_on_the_lines_that_it_causes() -> None:
    untraced = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in house.modules().items()
        for function in house.functions(tree)
        if house.decorators(function) & {"op", "asset", "multi_asset"}
        and not house.calls(function) & {"run_trace", "leased_attempt"}
    ]
    assert untraced == []


def test_every_run_that_is_requested_has_a_trace() -> None:
    requests = [
        (path, call)
        for path, tree in house.modules().items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dg.RunRequest"
    ]
    assert len(requests) > 5
    untraced = [(path, call.lineno) for path, call in requests if "tags" not in {key.arg for key in call.keywords}]
    assert untraced == []


def test_a_functions_docstring_begins_with_a_verb_or_its_subject() -> None:
    # What a property holds may be named by a clause; a function does something.
    clauses = {"Whether", "What", "Why", "When", "Where", "How", "Which", "Who", "Few", "Only", "One", "May"}
    fragments = [
        f"{path}:{function.lineno} {function.name}"
        for path, tree in house.modules().items()
        for function in house.functions(tree)
        if not house.decorators(function) & {"property", "cached_property"}
        and (ast.get_docstring(function) or "-").split()[0] in clauses
    ]
    assert fragments == []


def _changed_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement of a test imports from us, or binds or patches in something else than itself."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("squire"):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        place = node.value if isinstance(node, ast.Subscript) else node  # an element of a private table, or the name
        if isinstance(place, ast.Attribute) and ast.unparse(place.value) not in {"self", "cls"}:
            yield place.attr
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".setattr", ".delattr")):
        for argument in node.args[:2]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield from argument.value.split(".")


def test_no_test_imports_or_changes_what_is_private() -> None:
    private = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _changed_names(node)
        if isinstance(node, ast.stmt | ast.expr) and name.startswith("_") and not name.endswith("__")
    ]
    assert private == []
