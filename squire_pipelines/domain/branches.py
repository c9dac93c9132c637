"""What may be the name of a branch: git's own rule, `git check-ref-format --branch`, to which a test holds it. Pure.

https://git-scm.com/docs/git-check-ref-format
"""

import re
from collections.abc import Iterable

DEFAULT_BRANCH = "HEAD"
"""How a task names the default branch of its repository, whatever that is called when the task starts.

Git takes it for no branch's name, so that no branch can be meant by it.
"""

OWN_BRANCHES = "squire/"
"""What the names of Squire's own branches begin with, unless `publishing.branch_prefix` of the settings says else."""

MAX_PREFIX_CHARS = 40

MAX_BRANCH_CHARS = 255
"""Characters of the branch that a task's pull request goes into at most."""

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
        raise ValueError(f"{text[:MAX_BRANCH_CHARS]!r} is no name for a branch: see git check-ref-format")
    if len(text) > MAX_BRANCH_CHARS:
        raise ValueError(f"{text[:40]!r}… has more than {MAX_BRANCH_CHARS} characters, and a branch here may not")
    return text


def base_name(branch: str) -> str:
    """Return how people call the branch that a task's pull request goes into."""
    return "the default branch" if branch == DEFAULT_BRANCH else branch


def parse_prefix(text: str) -> str:
    """Return `text` when own branches can begin with it. Raises ValueError otherwise."""
    if not text.endswith(("/", "-", "_")) or len(text) > MAX_PREFIX_CHARS or not is_branch_name(f"{text}x"):
        raise ValueError(
            f"{text!r} is nothing that branches can begin with: it ends in /, - or _ and has at most "
            f"{MAX_PREFIX_CHARS} characters"
        )
    return text


def is_own_branch(name: str, prefix: str) -> bool:
    """Return whether a branch is one of Squire's by its name; one from before the prefix was set is, too."""
    return name.startswith((prefix, OWN_BRANCHES))


def branch_in_the_way(name: str, branches: Iterable[str]) -> str | None:
    """Return the branch beside which a repository cannot have one called `name`; None where there is none.

    Git keeps branches as files: what is a folder of one cannot be another.
    """
    above = {name[:end] for end, sign in enumerate(name) if sign == "/"}
    return next((branch for branch in branches if branch in above or branch.startswith(f"{name}/")), None)


def parse_own_branch(text: str, prefix: str = OWN_BRANCHES) -> str:
    """Return the branch of a task that a person names: the prefix is put before it where it is missing.

    Raises:
        ValueError: It can be no branch's name, or is too long.
    """
    name = parse_branch(text if text.startswith(prefix) else f"{prefix}{text}")
    if len(name) > MAX_OWN_BRANCH_CHARS:
        raise ValueError(f"{name[:40]!r}… has more than {MAX_OWN_BRANCH_CHARS} characters, and a task's branch may not")
    return name
