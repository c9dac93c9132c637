"""What GitHub said that people may do in a repository, kept for a time and up to a number of rows."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select

from squire_pipelines.domain.authority import KnownPermission, RepositoryPermission
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import collaborators

_ROWS_PER_STATEMENT = 100


def forget(tx: Transaction, repositories: Sequence[str]) -> int:
    """Forget what is kept of the people of these repositories, so that GitHub is asked anew; return of how many."""
    names = [name.casefold() for name in repositories]
    return tx.execute(delete(collaborators).where(collaborators.c.repository.in_(names))).rowcount


class KeptPermissions:
    """The kept answers, for readings to ask before they ask GitHub.

    Args:
        ledger: Has them.
        ttl_s: How long an answer counts.
        max_rows: How many are kept, of all repositories; the oldest go.
    """

    def __init__(self, ledger: Ledger, *, ttl_s: float, max_rows: int) -> None:
        self._ledger = ledger
        self._ttl = timedelta(seconds=ttl_s)
        self._max_rows = max_rows

    def known(self, repository: str, logins: Sequence[str]) -> Mapping[str, KnownPermission]:
        """Return what is still known of these people, by login in one case."""
        row = collaborators.c
        known: dict[str, KnownPermission] = {}
        with self._ledger.read() as tx:
            for start in range(0, len(logins), _ROWS_PER_STATEMENT):
                query = select(row.login, row.permission, row.note).where(
                    row.repository == repository.casefold(),
                    row.login.in_(logins[start : start + _ROWS_PER_STATEMENT]),
                    row.asked_at > tx.now - self._ttl,
                )
                known |= {
                    person.login: KnownPermission(permission=RepositoryPermission(person.permission), note=person.note)
                    for person in tx.execute(query)
                }
        return known

    def keep(self, repository: str, answers: Mapping[str, KnownPermission]) -> None:
        """Keep GitHub's answers, and forget what is too old or too much."""
        row, name = collaborators.c, repository.casefold()
        with self._ledger.write() as tx:
            tx.exclusive("collaborators")
            tx.execute(delete(collaborators).where(row.asked_at <= tx.now - self._ttl))
            for login, answer in answers.items():
                tx.execute(delete(collaborators).where(row.repository == name, row.login == login))
                tx.execute(
                    collaborators.insert().values(
                        repository=name,
                        login=login,
                        permission=answer.permission,
                        note=answer.note,
                        asked_at=tx.now,
                    )
                )
            self._forget_oldest(tx)

    def _forget_oldest(self, tx: Transaction) -> None:
        row = collaborators.c
        too_many = tx.execute(select(func.count()).select_from(collaborators)).scalar_one() - self._max_rows
        if too_many > 0:
            oldest = select(row.repository, row.login).order_by(row.asked_at, row.login).limit(too_many)
            for person in tx.execute(oldest).all():
                tx.execute(delete(collaborators).where(row.repository == person.repository, row.login == person.login))
