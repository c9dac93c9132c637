"""What the package's source looks like: the names that it binds, its classes and its imports, read from its trees."""

import ast
import graphlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "squire_pipelines"
BESIDE = ("scripts", "tests", "forge", "worker-image")

# Words that say nothing of what a variable holds, or that say it in a private language.
EMPTY_NAMES = frozenset(
    {"found", "each", "said", "told", "what", "held", "chosen", "wanted", "given", "mine", "here", "books", "theirs"}
)
# Names of an earlier, private language: the field has a word for each.
OLD_NAMES = frozenset(
    [
        "Door",
        "Books",
        "hand_in",
        "is_handed_in",
        "holding",
        "Held",
        "take_over",
        "led_back",
        "headers_out",
        "headers_back",
        "Way",
        "Judgement",
        "Seen",
        "Launch",
        "Asking",
        "Housing",
        "Ground",
        "Engineering",
        "Watched",
        "Observed",
        "remove_surely",
        "ask_whether_the_engine_ended_it",
        "Hot",
        "Soundness",
        "known_fact",
        "IN_VAIN",
        "give_back",
        "why_held",
        "askable",
        "neutralise",
        "complaint",
        "EVERY_LOOK",
        "for_each",
        "set_wals_aside",
        "keep_end",
        "served_alone",
        "birth_of",
        "end_leftovers",
        "_last_words",
        "_WISH",
        "App",
        "order_of",
        "Order",
        "Report",
        "Recorder",
        "gateway_for",
        "offered",
        "mark",
        "examine",
        "_examine",
        "_look",
        "_mine",
    ]
)


@cache
def modules(*folders: str) -> dict[str, ast.Module]:
    """Return each module's tree by its path below the project's root: the package's, or those of other folders."""
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for folder in folders or (PACKAGE.name,)
        for path in sorted((ROOT / folder).rglob("*.py"))
    }


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of everything that a module names: variables, parameters, functions, classes, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):  # noqa: SIM114 - narrows a type
            yield node.lineno, node.name
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs) and node.name:
            yield node.lineno, node.name
        elif isinstance(node, ast.alias) and node.asname:  # a name without one is its module's own
            yield node.lineno, node.asname


def names_that_say_nothing() -> list[str]:
    """Return `path:line name` for every bound name that the house does not use."""
    return [
        f"{path}:{line} {name}"
        for path, tree in (modules() | modules(*BESIDE)).items()
        for line, name in bound_names(tree)
        if name.strip("_") in EMPTY_NAMES or (name in OLD_NAMES and path.startswith(PACKAGE.name))
    ]


# How a program writes for people. All of it is done in `terminal/`, which cleans what it writes.
_SINKS = frozenset(
    [
        "print",
        "rich.print",
        "rich.get_console",
        "rich.console.Console",
        "rich.progress.Progress",
        "csv.writer",
        "csv.DictWriter",
        "click.echo",
        "click.secho",
        "click.echo_via_pager",
        "click.prompt",
        "click.confirm",
        "click.pause",
        "sys.stdout.write",
        "sys.stderr.write",
        "sys.stdout.writelines",
        "sys.stderr.writelines",
        "sys.stdout.buffer.write",
        "sys.stderr.buffer.write",
        "sys.__stdout__.write",
        "sys.__stderr__.write",
        "traceback.print_exc",
        "traceback.print_exception",
        "traceback.print_stack",
        "traceback.print_tb",
    ]
)


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return what each imported name of a module is, with dots."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def writes_of_their_own(trees: Mapping[str, ast.AST]) -> list[str]:
    """Return `path:line name` for each place that uses a way to write for people itself."""
    uses = []
    for path, tree in trees.items():
        names = _imported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute):
                first, *rest = ast.unparse(node).split(".")
                name = ".".join([names.get(first, first), *rest])
                if name in _SINKS:
                    uses.append(f"{path}:{node.lineno} {name}")
    return uses


def classes() -> dict[str, list[str]]:
    """Return where each class is defined, by its name."""
    places: dict[str, list[str]] = {}
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{path}:{node.lineno}")
    return places


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a module, those inside others too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def decorators(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the last part of the name of each decorator: `op` for `@dg.op(...)`."""
    targets = [node.func if isinstance(node, ast.Call) else node for node in function.decorator_list]
    return {ast.unparse(target).rpartition(".")[2] for target in targets}


def calls(function: ast.AST) -> set[str]:
    """Return the last part of the name of everything that is called within."""
    return {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(function) if isinstance(node, ast.Call)}


def _module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports() -> dict[str, set[str]]:
    """Return which of our modules each imports, also inside functions and behind TYPE_CHECKING."""
    known = {_module_name(path) for path in modules()}
    graph: dict[str, set[str]] = {}
    for path, tree in modules().items():
        targets: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                targets |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        graph[_module_name(path)] = (targets & known) - {_module_name(path)}
    return graph


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one circle, in their order; empty when there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [str(node) for node in error.args[1]]
    return []


def package_graph(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the same graph between the package's folders and top-level modules."""

    def room(module: str) -> str:
        return ".".join(module.split(".")[:2])

    rooms: dict[str, set[str]] = {}
    for module, targets in graph.items():
        rooms.setdefault(room(module), set()).update(
            room(target) for target in targets if room(target) not in {room(module), "squire_pipelines"}
        )
    return rooms


if __name__ == "__main__":  # python -m tests.support.house [FOLDER]: what is left to do
    import sys

    only = sys.argv[1] if len(sys.argv) > 1 else ""
    for line in names_that_say_nothing():
        if only in line:
            print(line)  # noqa: T201 - a list for people
    for name, places in classes().items():
        if len(places) > 1 and any(only in place for place in places):
            print("two classes:", name, *places)  # noqa: T201 - likewise
    print("circle of modules:", *circle(imports()))  # noqa: T201 - likewise
    print("circle of folders:", *circle(package_graph(imports())))  # noqa: T201 - likewise
