"""What the simulation says a number of repositories costs, by Squire's own rules."""

from dataclasses import replace
from math import isclose

import pytest

from scripts import scale_model
from scripts.scale_model import Activity, cadence_of, cost_of_collection, gives_way_at, look_points, simulate
from squire_pipelines.sections.signals import CollectionSettings
from squire_pipelines.sections.tasks import DispatchSettings

QUIET = Activity(attempts=0, deliveries=0, changes=0, new_signals=0, open_pulls=0)


@pytest.mark.parametrize(("repositories", "points"), [(1, 1), (10, 1), (100, 3), (150, 5), (200, 6), (100_000, 3000)])
def test_a_look_costs_by_githubs_formula(repositories: int, points: int) -> None:
    assert look_points(repositories) == points


def test_a_quiet_repository_is_looked_at_by_the_schedule_and_read_each_hour() -> None:
    cadence = cadence_of(CollectionSettings(), QUIET)
    assert (cadence.looks, cadence.readings) == (143, 23)


def test_looks_that_are_closer_than_ttl_s_are_left_out() -> None:
    often = cadence_of(CollectionSettings(interval_s=60, ttl_s=300), QUIET)
    assert often.looks == 1440 / 5


def test_each_delivery_and_each_change_is_read_once() -> None:
    hourly = CollectionSettings(full_every_s=7 * 86_400)
    assert cadence_of(hourly, replace(QUIET, deliveries=27)).readings == 27
    assert cadence_of(hourly, replace(QUIET, changes=4)).readings == 4


def test_a_first_collection_costs_what_was_measured() -> None:
    cost = cost_of_collection(200, first_read=200, new_signals=400, first_unchanged=0)
    assert (cost.points, cost.rows) == (606, 2200)
    assert cost_of_collection(200, first_read=0, new_signals=0, first_unchanged=200).rows == 1000


def test_costs_grow_with_the_repositories() -> None:
    small, large = simulate(100), simulate(1000)
    for name in ("attempts", "readings", "looks at a repository", "deliveries"):
        assert isclose(large.per_day[name], 10 * small.per_day[name])


def test_what_gives_way_first_is_a_bound_of_the_settings_until_it_is_raised() -> None:
    assert simulate(1000).first_to_give_way.part == "attempts a day"
    raised = DispatchSettings(max_attempts_per_day=100_000, max_concurrent=1000)
    demands = {demand.part: demand for demand in simulate(1000, dispatch=raised).demands}
    assert demands["attempts a day"].use < 1
    assert demands["GraphQL points an hour, one token"].use > 1
    assert demands["GraphQL points an hour, an App's installation"].use < 1


@pytest.mark.parametrize("part", ["attempts a day", "GraphQL points an hour, one token"])
def test_a_part_gives_way_from_the_number_on_that_is_named(part: str) -> None:
    number = gives_way_at(part, most=5000)
    use_at = [
        next(demand.use for demand in simulate(count).demands if demand.part == part) for count in (number - 1, number)
    ]
    assert use_at[0] <= 1 < use_at[1]


@pytest.mark.parametrize(("repositories", "points"), [(1, 5000), (20, 5000), (120, 10_000), (1000, 12_500)])
def test_an_installation_has_more_points_with_more_repositories(repositories: int, points: int) -> None:
    assert scale_model.app_points(repositories) == points


def test_a_reserve_of_the_points_is_left_to_people() -> None:
    assert scale_model.spendable(5000, cost_each=3) == 1500


def test_more_work_needs_more_workers() -> None:
    assert scale_model.workers_needed(simulate(10), processors=2, memory_bytes=2**34) == 1
    assert scale_model.workers_needed(simulate(100_000), processors=2, memory_bytes=2**34) > 10


def test_each_cost_per_unit_names_where_it_was_measured() -> None:
    assert all(unit.source and unit.unit and unit.value > 0 for unit in scale_model.UNITS.values())
