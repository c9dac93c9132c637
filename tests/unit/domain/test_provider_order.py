"""The order in which several providers are asked: as written, or drawn from the attempt's id by weight."""

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.provider_order import MAX_WEIGHT, names_of, order_providers

NAMES = st.text("abcdefgh", min_size=1, max_size=6)
WEIGHTS = st.dictionaries(NAMES, st.integers(1, MAX_WEIGHT), min_size=1, max_size=8)


@given(WEIGHTS, st.text(max_size=30))
def test_weights_give_one_stable_order_of_all_names(weights: dict[str, int], attempt: str) -> None:
    order = order_providers(weights, attempt)
    assert sorted(order) == sorted(weights)
    assert order_providers(dict(reversed(list(weights.items()))), attempt) == order, "however the settings are written"


@given(WEIGHTS, st.text(max_size=30))
def test_without_the_first_the_others_stay_in_their_order(weights: dict[str, int], attempt: str) -> None:
    first, *others = order_providers(weights, attempt)
    assert list(order_providers({name: weights[name] for name in weights if name != first}, attempt)) == others


@given(st.lists(NAMES, min_size=1, max_size=8, unique=True).map(tuple), st.text(max_size=30))
def test_a_list_is_asked_as_it_is_written(names: tuple[str, ...], attempt: str) -> None:
    assert order_providers(names, attempt) == order_providers(names) == names


def test_the_first_is_drawn_as_often_as_its_weight_says() -> None:
    weights = {"main": 3, "spare": 1}
    firsts = [order_providers(weights, f"attempt-{number}")[0] for number in range(4000)]
    assert 0.72 < firsts.count("main") / len(firsts) < 0.78


def test_a_single_name_and_none() -> None:
    assert (order_providers("claude", "a"), order_providers(None, "a"), names_of({"b": 1, "a": 2})) == (
        ("claude",),
        (),
        ("b", "a"),
    )
    assert order_providers({"b": 1, "a": 2}) == ("a", "b"), "without an attempt, the greatest weight first"
