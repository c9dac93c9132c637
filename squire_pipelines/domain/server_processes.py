"""The processes that serve on several machines: which there are, when one counts as gone, who has which secret.

Pure rules. What a process is and when it was seen last stands in the ledger.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SEEN_EVERY_S = 5.0
"""How often a process says that it lives."""

GONE_AFTER_S = 30.0
"""A process that was not seen for so long is gone: several of its beats, and a restart of the database."""

REMEMBERED = timedelta(days=1)
"""How long one that vanished is shown, unless its home has started another of its kind since."""

OLD_SUFFIX = "-old"
"""What the name of a secret ends with that counts beside the one without, while that is rotated."""


class ServerKind(StrEnum):
    """What a process does."""

    RECEIVER = "receiver"
    BOARD = "board"
    STEWARD = "steward"


class ServerRole(StrEnum):
    """Whether a process does its work: of stewards one is active, and the others wait. All others serve."""

    SERVING = "serving"
    ACTIVE = "active"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """A process that serves, as it says itself, and as it was seen last.

    Args:
        id: Of its start.
        kind: What it does.
        machine: Where it runs.
        home: The path of its home there.
        pid: Of its process.
        version: Of Squire.
        role: Whether it does its work, or waits for it.
        problem: What it could not take, such as a secret that is gone; None for nothing.
        secret_marks: By the names of secrets, what differs between two secrets.
        started_at: When it began.
        seen_at: When it said last that it lives.
        is_gone: Whether that is too long ago.
    """

    id: str
    kind: ServerKind
    machine: str
    home: str
    pid: int
    version: str
    role: ServerRole
    problem: str | None
    secret_marks: Mapping[str, str]
    started_at: datetime
    seen_at: datetime
    is_gone: bool

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.machine}:{self.home}"


def is_gone(seen_at: datetime, now: datetime) -> bool:
    """Return whether a process counts as gone."""
    return now - seen_at >= timedelta(seconds=GONE_AFTER_S)


@dataclass(frozen=True, slots=True)
class SecretDifference:
    """A secret that a receiver has not as others have it.

    Args:
        process: The receiver.
        name: Of the secret.
        is_old: Whether it is known to be the one that the others have replaced.
    """

    process: ServerProcess
    name: str
    is_old: bool

    @property
    def text(self) -> str:
        """What is wrong, for people."""
        where = f"the receiver on {self.process.place}"
        if self.is_old:
            return f"{where} still has the old {self.name} alone, and refuses what is signed with the new one"
        if self.name not in self.process.secret_marks:
            return f"{where} has no {self.name}, which others have"
        return f"{where} has another {self.name} than others"


def secret_differences(processes: Iterable[ServerProcess]) -> Iterator[SecretDifference]:
    """Yield the receivers that live and would refuse a delivery that another one takes, by the name of the secret.

    A delivery is signed with the present secret or, while that is rotated, with the one before. A receiver takes both
    when it has both, whatever it calls them. So it differs when it lacks the present secret of another one.
    """
    living = [one for one in processes if one.kind is ServerKind.RECEIVER and not one.is_gone]
    names = sorted({name for one in living for name in one.secret_marks if not name.endswith(OLD_SUFFIX)})
    for name in names:
        replaced = {digest for one in living if (digest := one.secret_marks.get(name + OLD_SUFFIX)) is not None}
        present = {digest for one in living if (digest := one.secret_marks.get(name)) is not None}
        newest = present - replaced or present
        for one in living:
            own = {one.secret_marks.get(name), one.secret_marks.get(name + OLD_SUFFIX)} - {None}
            if not newest <= own:
                yield SecretDifference(one, name, is_old=bool(own) and own <= replaced)
