"""Names and identifiers: repositories, ids that sort by time, trace ids. Pure but for the random source."""

import itertools
import os
import re
import secrets
from datetime import datetime

from squire_pipelines.domain.branches import OWN_BRANCHES

_REPOSITORY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38})/[A-Za-z0-9._-]{1,100}")
# Crockford's base 32: sorts as the number does, has no letters that look like digits.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS = 9  # 45 bits of milliseconds: enough until the year 3084
_SEQUENCE_DIGITS = 5
_SEQUENCE_BITS = 25


class _Sequence:
    """Numbers of which no two within 2**25 are the same, from a random one on, in this process.

    Random numbers alone would collide now and then where many ids are made for one millisecond: one pair in 34 million.
    A process that was forked begins at a random number of its own, or it would go on with its parent's numbers.
    """

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._numbers = itertools.count(secrets.randbits(_SEQUENCE_BITS))

    def next(self) -> int:
        """Return the next number; threads may ask at once, since `itertools.count` gives each number once."""
        return next(self._numbers) % (1 << _SEQUENCE_BITS)


_sequence = _Sequence()


def parse_repository(text: str) -> str:
    """Return `text` as a repository's name, `owner/name`.

    Accepts the URL of a repository's page, or that by which git clones it, as people paste them. Raises ValueError that
    names what is wrong.
    """
    candidate = text.strip().removesuffix("/").removesuffix(".git")
    if "://" in candidate:
        page = re.split(r"[?#]", candidate)[0]
        candidate = "/".join(page.split("/")[3:5]).removesuffix("/").removesuffix(".git")
    elif "@" in candidate.partition(":")[0]:  # as git writes an address for ssh: git@github.com:owner/name
        candidate = candidate.partition(":")[2].removeprefix("/")
    if not _REPOSITORY.fullmatch(candidate) or candidate.endswith(("/.", "/..")):
        raise ValueError(f"{text!r} is not a repository name: expected owner/name")
    return candidate


def repository_host(text: str) -> str | None:
    """Return the host that the URL of a repository names, in lower case; None where `text` is a name alone."""
    address = text.strip()
    if "://" in address:
        host = address.partition("://")[2].partition("/")[0]
    elif "@" in address.partition(":")[0]:
        host = address.partition(":")[0]
    else:
        return None
    host = host.rpartition("@")[2].lower()
    return re.sub(r":\d*$", "", host).removeprefix("www.").removeprefix("ssh.") or None


def _encode(number: int, digits: int) -> str:
    out = []
    for _ in range(digits):
        number, rest = divmod(number, 32)
        out.append(_ALPHABET[rest])
    return "".join(reversed(out))


def new_id(prefix: str, now: datetime) -> str:
    """Return a short identifier that sorts by its time: `prefix`, 9 digits of time and 5 digits of a sequence.

    No two of 33 million ids that a process makes one after another are the same, whatever `now` is; two processes
    begin their sequences at random. Lower-case letters and digits only, so that it fits a branch, a container's name
    and a label.
    """
    milliseconds = int(now.timestamp() * 1000)
    return f"{prefix}{_encode(milliseconds, _TIME_DIGITS)}{_encode(_sequence.next(), _SEQUENCE_DIGITS)}"


def new_trace_id() -> str:
    """Return 32 hexadecimal digits, as the W3C trace context has them."""
    return secrets.token_hex(16)


def attempt_id(task_id: str, number: int) -> str:
    """Return the id that follows from task and number, so that a repeated dispatch cannot make a second attempt."""
    return f"{task_id}-{number}"


def slugify(text: str, *, limit: int = 40) -> str:
    """Return `text` as a part of a branch name: lower-case ASCII letters, digits, single hyphens, never empty."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return slug[:limit].rstrip("-") or "task"


def branch_name(task_id: str, title: str, prefix: str = OWN_BRANCHES) -> str:
    """Return the one branch of a task, the same at every attempt."""
    return f"{prefix}{task_id}-{slugify(title)}"
