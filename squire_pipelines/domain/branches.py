"""What may be the name of a branch: git's own rule, `git check-ref-format --branch`, to which a test holds it. Pure.

https://git-scm.com/docs/git-check-ref-format
"""

import re

DEFAULT_BRANCH = "HEAD"
"""How a task names the default branch of its repository, whatever that is called when the task starts.

Git takes it for no branch's name, so that no branch can be meant by it.
"""

OWN_BRANCHES = "squire/"
"""What the names of Squire's own branches begin with."""

MAX_OWN_BRANCH_CHARS = 120
"""Characters of a task's branch at most, as its column has them."""

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


def base_name(branch: str) -> str:
    """Return how people call the branch that a task's pull request goes into."""
    return "the default branch" if branch == DEFAULT_BRANCH else branch


def parse_own_branch(text: str) -> str:
    """Return the branch of a task that a person names: `squire/` is put before it where it is missing.

    Raises:
        ValueError: It can be no branch's name, or is too long.
    """
    name = parse_branch(text if text.startswith(OWN_BRANCHES) else f"{OWN_BRANCHES}{text}")
    if len(name) > MAX_OWN_BRANCH_CHARS:
        raise ValueError(f"{name[:40]!r}… has more than {MAX_OWN_BRANCH_CHARS} characters, and a task's branch may not")
    return name
