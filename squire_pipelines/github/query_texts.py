"""The texts of our GraphQL queries, which are files in `queries/`."""

import re
from functools import cache
from importlib import resources

_IMPORT = re.compile(r'^#import "([a-z_]+)"$', re.MULTILINE)


@cache
def load_query(name: str) -> str:
    """Return `queries/<name>.graphql` with the fragments that its `#import "…"` lines name, each of them once."""
    texts: dict[str, str] = {}
    _load_with_imports(name, texts)
    return "\n".join(texts.values())


def _load_with_imports(name: str, texts: dict[str, str]) -> None:
    if name not in texts:
        folder = resources.files("squire_pipelines.github") / "queries"
        texts[name] = (folder / f"{name}.graphql").read_text(encoding="utf-8")
        for imported in _IMPORT.findall(texts[name]):
            _load_with_imports(imported, texts)
