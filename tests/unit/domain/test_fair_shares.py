"""Tenants share slots by weight: none is a whole slot off its share, no slot stays empty, and none waits for ever."""

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.fair_shares import SlotSharing, TenantShare, fair_shares

NAMES = ("a", "b", "c", "d", "e")
_shares = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        TenantShare,
        st.sampled_from([0.01, 0.5, 1.0, 2.0, 3.0, 9.0, 1000.0]),
        st.one_of(st.none(), st.integers(1, 6)),
    ),
    min_size=1,
)


def fill(sharing: SlotSharing) -> Counter[str]:
    given_slots: Counter[str] = Counter()
    while (name := sharing.next_tenant()) is not None:
        sharing.give(name)
        given_slots[name] += 1
    return given_slots


def test_slots_are_shared_by_weight_and_what_one_does_not_want_goes_to_the_others() -> None:
    rules = {"a": TenantShare(2), "b": TenantShare(1), "c": TenantShare(1)}
    assert fair_shares(8, rules, {}, {"a": 9, "b": 9, "c": 9}) == {"a": 4, "b": 2, "c": 2}
    assert fair_shares(8, rules, {}, {"a": 9, "b": 9, "c": 1}) == pytest.approx({"a": 14 / 3, "b": 7 / 3, "c": 1})


def test_a_tenant_gets_no_more_than_its_settings_allow() -> None:
    sharing = SlotSharing(9, {"a": TenantShare(max_concurrent=2)}, {}, {"a": 9, "b": 3})
    assert fill(sharing) == {"a": 2, "b": 3}


@given(
    rules=_shares,
    slots=st.integers(1, 20),
    due=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 25)),
    owed=st.dictionaries(st.sampled_from(NAMES), st.floats(-1, 3)),
)
def test_each_tenant_gets_its_share_to_within_one_slot_and_no_slot_stays_empty(
    rules: dict[str, TenantShare], slots: int, due: dict[str, int], owed: dict[str, float]
) -> None:
    shares = fair_shares(slots, rules, {}, due)
    taken = fill(SlotSharing(slots, rules, {}, dict(due), dict(owed)))
    for name in due:
        assert abs(taken[name] - shares.get(name, 0)) < 1
    usable = sum(min(count, (rules.get(name, TenantShare()).max_concurrent or slots)) for name, count in due.items())
    assert taken.total() == min(slots, usable)


@given(
    rules=_shares,
    slots=st.integers(1, 12),
    taken=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 12)),
    due=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 25)),
)
def test_whoever_has_more_than_its_share_gets_nothing_while_another_has_less(
    rules: dict[str, TenantShare], slots: int, taken: dict[str, int], due: dict[str, int]
) -> None:
    sharing = SlotSharing(slots, rules, dict(taken), dict(due))
    shares = fair_shares(slots, rules, taken, due)
    name = sharing.next_tenant()
    if name is not None and sharing.taken.get(name, 0) >= shares.get(name, 0):
        assert all(sharing.taken.get(other, 0) >= shares.get(other, 0) for other in sharing.waiting())


@given(
    weights=st.lists(st.sampled_from([0.05, 0.5, 1.0, 3.0, 20.0]), min_size=2, max_size=4),
    slots=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    arrivals=st.lists(st.integers(0, 3), min_size=1, max_size=30),
)
def test_no_task_waits_for_ever_whatever_arrives_and_however_small_its_weight(
    weights: list[float], slots: int, lengths: list[int], arrivals: list[int]
) -> None:
    """The first tenant has one task. The others always have more work than there are slots."""
    rules = {NAMES[number]: TenantShare(weight) for number, weight in enumerate(weights)}
    least_part = weights[0] / sum(weights)
    bound = int((len(weights) + 2) / least_part) + 5 * slots * len(weights) + 10
    running: deque[tuple[int, str]] = deque()
    owed: dict[str, float] = {}
    due = dict.fromkeys(rules, slots + arrivals[0])
    for tick in range(5 * bound):
        for end, name in [one for one in running if one[0] <= tick]:
            running.remove((end, name))
        due |= {name: slots + arrivals[tick % len(arrivals)] for name in rules if name != "a"}
        due["a"] = 1
        sharing = SlotSharing(slots, rules, dict(Counter(name for _, name in running)), dict(due), owed)
        started = fill(sharing)
        owed = sharing.credits
        if started["a"]:
            return
        for name, count in started.items():
            running += [(tick + lengths[(tick + number) % len(lengths)], name) for number in range(count)]
    pytest.fail("the first tenant's task was never started")


def test_one_slot_goes_round_by_weight() -> None:
    rules = {"a": TenantShare(3), "b": TenantShare(1)}
    owed: dict[str, float] = {}
    order = []
    for _ in range(8):
        sharing = SlotSharing(1, rules, {}, {"a": 5, "b": 5}, owed)
        order += [*fill(sharing)]
        owed = sharing.credits
    assert Counter(order) == {"a": 6, "b": 2}


def test_a_tenant_none_of_whose_tasks_can_start_leaves_its_slots_to_others() -> None:
    sharing = SlotSharing(2, {}, {}, {"a": 5, "b": 5})
    assert sharing.next_tenant() is not None
    sharing.has_nothing("a")
    assert fill(sharing) == {"b": 2}
