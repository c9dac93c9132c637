"""Reading YAML, by the quick library where PyYAML was built with it."""

from typing import Any

import yaml  # type: ignore[import-untyped] # no stubs are installed

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str) -> Any:
    """Return the one document of a text."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - it is the safe loader, in C


def load_all(text: str) -> list[Any]:
    """Return the documents of a text that are not empty."""
    return [document for document in yaml.load_all(text, Loader=_LOADER) if document]
