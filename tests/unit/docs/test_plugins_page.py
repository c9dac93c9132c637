"""The page of what packages implement has every protocol of an entry point, and all types that it names."""

import ast
import importlib.util
import re
from pathlib import Path

from squire_pipelines import agent_names, source_names

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("plugins_reference", ROOT / "scripts" / "plugins_reference.py")
assert _SPEC is not None
assert _SPEC.loader is not None
SCRIPT = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(SCRIPT)
PAGE = (ROOT / "docs" / "reference" / "plugins.md").read_text(encoding="utf-8")
MODULES = {path for group in SCRIPT.GROUPS for path, _ in group[3]}


def test_the_page_is_up_to_date_and_has_each_group_of_entry_points() -> None:
    assert SCRIPT.page() == PAGE
    groups = {agent_names.GROUP, source_names.GROUP, source_names.HOOK_GROUP}
    assert {group[0] for group in SCRIPT.GROUPS} == groups


def test_each_type_of_these_modules_that_a_signature_names_is_explained() -> None:
    signatures = " ".join(re.findall(r"^\*\*`(.*)`\*\*$", PAGE, re.MULTILINE))
    signatures += " ".join(row.split("` | `")[1] for row in PAGE.splitlines() if "` | `" in row)
    defined = set()
    for path in MODULES:
        tree = ast.parse((ROOT / "squire_pipelines" / path).read_text(encoding="utf-8"))
        defined |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    named = {name for name in defined if re.search(rf"\b{name}\b", signatures)}
    assert {"SourceFact", "HookContext", "LaunchSpec", "SessionFile"} <= named
    assert {name for name in named if f"\n### {name}\n" not in PAGE} == set()


def test_each_method_has_its_words() -> None:
    methods = re.findall(r"^\*\*`(.*)`\*\*\n\n(.*)$", PAGE, re.MULTILINE)
    assert len(methods) > 8
    assert [method for method, words in methods if not words.strip()] == []
