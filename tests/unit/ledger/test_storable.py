from typing import Any

import pytest

from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger import tables
from squire_pipelines.ledger.row_digests import TableDigest
from squire_pipelines.ledger.storable import Storable


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"trace_id": "x" * 500}, r"audit.trace_id of the row with id 7 has 500 signs, and Postgres takes up to \d+"),
        ({"subject": "a\x00b"}, "audit.subject of the row with id 7 has the sign NUL"),
    ],
)
def test_what_postgres_cannot_store_is_named_by_row_and_column(values: dict[str, Any], reason: str) -> None:
    row = {"id": 7, "action": "x", "subject": "x", **values}
    with pytest.raises(RefusedError, match=reason):
        Storable(is_postgres=True, replaces_signs=False).make_storable(tables.audit, [dict(row)])
    Storable(is_postgres=False, replaces_signs=False).make_storable(tables.audit, rows := [dict(row)])
    assert rows == [row]


def test_a_number_that_postgres_cannot_store_is_named_and_an_id_may_be_as_long_as_sqlites() -> None:
    storable = Storable(is_postgres=True, replaces_signs=False)
    reason = "attempts.number of the row with id 't1-1' is 2147483648, and Postgres takes up to 2147483647"
    with pytest.raises(RefusedError, match=reason):
        storable.make_storable(tables.attempts, [{"id": "t1-1", "number": 2**31}])
    storable.make_storable(tables.audit, rows := [{"id": 2**63 - 1}])
    assert rows == [{"id": 2**63 - 1}]


def test_a_sign_is_replaced_where_that_is_wanted() -> None:
    storable = Storable(is_postgres=True, replaces_signs=True)
    storable.make_storable(tables.audit, rows := [{"id": 7, "subject": "a\x00b"}])
    assert (rows, storable.changed) == ([{"id": 7, "subject": "a\ufffdb"}], 1)


def test_a_digest_is_of_the_rows_and_not_of_their_order() -> None:
    one, two, other = TableDigest(), TableDigest(), TableDigest()
    one.add([(1, b"\x00"), (2, None)])
    two.add([(2, None)])
    two.add([(1, memoryview(b"\x00"))])
    other.add([(1, "00"), (2, None)])
    assert one == two != other
    assert len(one.text()) == 64
