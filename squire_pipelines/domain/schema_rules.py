"""Which programs a ledger's schema is for: its own, and older ones that its migrations say may go on. Pure rules.

A program is known by the newest revision that it has. A migration that older programs can live with says which is the
oldest of them; the ledger keeps what follows for its present schema, since an older program has no newer migrations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class LedgerSchema:
    """A ledger's schema.

    Args:
        revision: Of it; None where the ledger has no schema yet.
        oldest_program: The revision of the oldest program that may use the ledger; None where nobody has said so, and
            programs of the very revision alone may.
    """

    revision: str | None = None
    oldest_program: str | None = None

    def fits(self, program: str) -> bool:
        """Return whether a program of a revision may read and write the ledger."""
        oldest = self.oldest_program
        if self.revision is None or oldest is None or not self.revision.isdecimal():
            return self.revision == program
        return self.revision == program or oldest <= program < self.revision

    def is_newer(self, program: str) -> bool:
        """Return whether the schema is newer than a program, or none of Squire's."""
        return self.revision is not None and (self.revision > program or not self.revision.isdecimal())

    def why_unfit(self, program: str, version: str) -> str | None:
        """Return why a program cannot use the ledger, and what ends that; None where it can.

        Args:
            program: The newest revision that it has.
            version: Of Squire, for people.
        """
        if self.fits(program):
            return None
        known = f"Squire {version} knows {program}"
        if self.is_newer(program):
            return f"the ledger's schema is {self.revision}, and {known}: install the newer Squire here"
        return f"the ledger's schema is {self.revision or 'missing'}, and {known}: run `squire ledger upgrade`"


def oldest_program(declared: Sequence[tuple[str, str]]) -> str:
    """Return the oldest program that may use a schema, by what each of its migrations says.

    Args:
        declared: The revision of each migration, and the oldest program that it lets go on; from the newest on.
    """
    oldest, needed = declared[0][0], ""
    for (_, lets_go_on), (previous, _) in pairwise(declared):
        needed = max(needed, lets_go_on)
        if needed > previous:
            break
        oldest = previous
    return oldest
