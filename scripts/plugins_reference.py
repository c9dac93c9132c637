"""Writes docs/reference/plugins.md from the protocols that packages implement; `--check` fails when it differs.

The text is that of the source: no class is imported, and nothing is said twice.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.reference_page import write_or_check

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "plugins.md"
GROUPS: tuple[tuple[str, str, str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    (
        "squire.signals",
        "Sources of signals",
        "[Sources](sources.md#a-source-of-your-own) has an example, and what a package may use.",
        (("sources/protocol.py", ("SignalSource", "SourceContext", "SourceFact")),),
    ),
    (
        "squire.hooks",
        "Readers of other senders",
        "[Other senders](hooks.md) says how a sender is switched on.",
        (
            ("sources/hook_protocol.py", ("HookSource", "HookContext", "HookFact")),
            ("domain/hook_schemes.py", ("HmacScheme", "StandardScheme", "TokenScheme")),
        ),
    ),
    (
        "squire.agents",
        "Agents",
        "[Agents](agents.md) says how a package offers one, and what its program may do.",
        (
            (
                "agents/adapters/protocol.py",
                (
                    *("Agent", "AgentConfig", "Caps", "LaunchSpec", "Marker", "SessionFile", "Permission"),
                    *("SessionResult", "GatewaySeen", "SessionFailure"),
                ),
            ),
            (
                "agents/adapters/transcript.py",
                ("ModelStep", "ToolCall", "ModelText", "SessionError", "SessionNote", "SessionTotals"),
            ),
        ),
    ),
)
"""The groups of entry points: name, heading, where more is explained, and the classes of each module."""

_HEAD = """\
# What packages implement

<!-- Written by scripts/plugins_reference.py from the protocols' own docstrings; do not edit. -->

A package extends Squire by an entry point of one of these groups. It needs no base class: whatever has these members
fulfils the protocol.

"""
_SECTION = re.compile(r"^(Args|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^    ([A-Za-z_*][\w*, ]*): (.*)$")


def page() -> str:
    """Return the page's text."""
    index = "".join(f"- [`{group}`](#{_anchor(title)}): {_names(modules)}\n" for group, title, _, modules in GROUPS)
    return _HEAD + index + "".join(_group(*group) for group in GROUPS)


def _names(modules: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return f"`{modules[0][1][0]}`, of `{_dotted(modules[0][0])}`"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _dotted(path: str) -> str:
    return f"squire_pipelines.{path.removesuffix('.py').replace('/', '.')}"


def _group(group: str, title: str, more: str, modules: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    parts = [f"\n## {title}\n\nThe group of entry points is `{group}`. {more}\n"]
    for path, names in modules:
        tree = ast.parse((ROOT / "squire_pipelines" / path).read_text(encoding="utf-8"))
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        texts = [_class(_dotted(path), classes[name]) for name in names]
        parts += [*texts, _constants(path, tree, "".join(texts))]
    return "".join(parts)


def _constants(path: str, tree: ast.Module, text: str) -> str:
    """Return a table of the module's own types and bounds that the text of its classes names."""
    rows = []
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Name) or target.id.startswith("_"):
            continue
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is not None and re.search(rf"\b{target.id}\b", text):
            rows.append(f"| `{target.id}` | `{_cell(ast.unparse(value))}` |\n")
    return f"\n| name in `{_dotted(path)}` | is |\n|---|---|\n" + "".join(rows) if rows else ""


def _class(module: str, node: ast.ClassDef) -> str:
    text = f"\n### {node.name}\n\n`{module}.{node.name}`\n\n{_prose(ast.get_docstring(node))}"
    rows = list(_fields(node))
    if rows:
        text += "\n| member | type | default |\n|---|---|---|\n" + "".join(rows)
    return text + "".join(_method(member) for member in node.body if isinstance(member, ast.FunctionDef))


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """Yield a row for each field, with the text that stands below it in the source."""
    for number, member in enumerate(node.body):
        if isinstance(member, ast.AnnAssign):
            kind, name = ast.unparse(member.annotation), ast.unparse(member.target)
        elif isinstance(member, ast.Assign):
            kind, name = "str", ast.unparse(member.targets[0])
        else:
            continue
        value = member.value
        if name.startswith(("_", "model_config")):
            continue
        below = node.body[number + 1] if number + 1 < len(node.body) else None
        note = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            note = f" {' '.join(below.value.value.split())}"
        shown = "" if value is None else f"`{_cell(ast.unparse(value))}`"
        yield f"| `{name}`{_cell(note)} | `{_cell(kind)}` | {shown} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _method(node: ast.FunctionDef) -> str:
    if node.name.startswith("_") or any(ast.unparse(one) == "model_validator" for one in node.decorator_list):
        return ""
    if any(ast.unparse(one) == "property" for one in node.decorator_list):
        head = f"{node.name}: {ast.unparse(node.returns)}" if node.returns is not None else node.name
    else:
        arguments = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
        head = f"{node.name}({arguments})"
        head += f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"\n**`{head}`**\n\n{_prose(ast.get_docstring(node))}"


def _prose(docstring: str | None) -> str:
    """Return a docstring as Markdown: its sections are lists."""
    lines: list[str] = []
    for line in inspect.cleandoc(docstring or "").splitlines():
        if section := _SECTION.match(line):
            lines.append({"Args": "", "Raises": "Raises:\n"}.get(section[1], f"{section[1]}:\n"))
        elif entry := _ENTRY.match(line):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith("        ") else line.strip())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
