"""Templates of what Squire publishes: a text with {names} in it, checked before it is used. Pure.

No template can leave out what it is for, and none can reach anything but the names that it is given.
"""

import re
from collections.abc import Iterable, Mapping

_NAME = re.compile(r"\{([A-Za-z_]{0,40})\}")


def check_template(text: str, *, required: str, known: Iterable[str]) -> str:
    """Return a template as it is. Raises ValueError for one without `{required}`, or with a name that is not known."""
    names = _NAME.findall(text)
    permitted = {required, *known}
    if unknown := [name for name in names if name not in permitted]:
        listed = ", ".join(f"{{{name}}}" for name in sorted(permitted))
        raise ValueError(f"a template has no {{{unknown[0]}}}; it has {listed}")
    if names.count(required) != 1:
        raise ValueError(f"a template has {{{required}}} in it, once")
    return text


def fill_template(text: str, values: Mapping[str, str]) -> str:
    """Return a template with its names replaced, each once: a name within a value stays as it is."""
    return _NAME.sub(lambda match: values.get(match[1], match[0]), text)
