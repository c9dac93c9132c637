from typing import Any

from squire_pipelines.cli.webhooks_tail import MAX_PER_LOOK, rows_as_they_come
from squire_pipelines.ledger.list_pages import Rows


def inbox() -> tuple[list[int], list[int], Any]:
    """Return what came so far, the numbers after which was asked, and a reader."""
    present: list[int] = []
    asked: list[int] = []

    def read(newest: int) -> Rows:
        asked.append(newest)
        return [{"id": number} for number in present if number > newest][:MAX_PER_LOOK]

    return present, asked, read


def test_each_delivery_is_shown_once_in_the_order_of_arrival_while_it_is_looked() -> None:
    present, asked, read = inbox()
    arrivals = iter([[11], [], [12, 13]])
    rows = rows_as_they_come(read, 10, wait=lambda: present.extend(next(arrivals)), rounds=4)
    assert [row["id"] for row in rows] == [11, 12, 13]
    assert asked == [10, 10, 11, 11]


def test_after_a_full_look_it_goes_on_without_a_wait() -> None:
    present, _, read = inbox()
    present.extend(range(1, MAX_PER_LOOK + 3))
    waits: list[None] = []
    rows = list(rows_as_they_come(read, 0, wait=lambda: waits.append(None), rounds=2))
    assert [row["id"] for row in rows] == present
    assert waits == []
