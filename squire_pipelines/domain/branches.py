"""What may be the name of a branch: git's own rule, `git check-ref-format --branch`, to which a test holds it. Pure.

https://git-scm.com/docs/git-check-ref-format
"""

import re

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{")


def is_branch_name(name: str) -> bool:
    """Return whether git takes the text for a branch's name, without `refs/heads/`. Almost every sign may be in one."""
    if name == "HEAD" or name.startswith("-") or name.endswith(".") or _FORBIDDEN.search(name):
        return False
    return all(part and not part.startswith(".") and not part.endswith(".lock") for part in name.split("/"))


def parse_branch(text: str) -> str:
    """Return `text` when it can be a branch's name. Raises ValueError otherwise."""
    if not is_branch_name(text):
        raise ValueError(f"{text!r} is no name for a branch: see git check-ref-format")
    return text
