"""A text that begins with a block of YAML between two lines `---`: the block apart from what follows it. Pure."""

import re
from typing import Any

import yaml  # type: ignore[import-untyped] # no stubs are installed

_BLOCK = re.compile(r"\A---\n(.*?)\n---[ \t]*(?:\n(.*))?\Z", re.DOTALL)
_MAX_DEPTH = 20
_MAX_PLAIN_VALUES = 3_000
"""Of a block: PyYAML takes a second for 10,000."""

# What PyYAML's constructors let through of a value that is not what its tag says, such as `!!bool maybe`.
_NO_SUCH_VALUE = (ValueError, ArithmeticError, AttributeError, LookupError, TypeError)
_MERGE = "tag:yaml.org,2002:merge"


def split_block(text: str) -> tuple[str, str] | None:
    """Return the block and the text below it, without the white space around that; None where there is no block."""
    match = _BLOCK.match(text)
    return None if match is None else (match[1], (match[2] or "").strip())


def load_yaml(text: str) -> Any:
    """Return what a text of YAML says. Raises ValueError."""
    return _load(text, _BoundedLoader)


def load_plain_yaml(text: str) -> Any:
    """Return what a text of YAML says that names nothing twice and points to no other place in itself.

    A key that stands twice would hide the first one, and a few lines of references can stand for a billion.

    Raises:
        ValueError: It is none.
    """
    return _load(text, _PlainLoader)


def _load(text: str, loader: Any) -> Any:
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 - both loaders make plain values alone
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())[:300]}") from error
    except _NO_SUCH_VALUE as error:
        raise ValueError("it is no YAML: it has a number, a date or a tag (!!name) whose value is none") from error


class _BoundedLoader(yaml.SafeLoader):  # type: ignore[misc] # the library has no types
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth == _MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", self.peek_event().start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _PlainLoader(_BoundedLoader):
    _values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._values += 1
        if self._values > _MAX_PLAIN_VALUES:
            raise yaml.composer.ComposerError(None, None, "it has too many values", self.peek_event().start_mark)
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "it has a reference (*name)", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - the library's signature
        names: set[object] = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                raise yaml.constructor.ConstructorError(None, None, "it has a merge (<<)", key.start_mark)
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in names:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands twice", key.start_mark)
            names.add(name)
        return super().construct_mapping(node, deep=deep)
