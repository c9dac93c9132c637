"""Counts the ticks of the sensors: how many, when the last one was, and whether they failed."""

import functools
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar, cast

from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families

_P = ParamSpec("_P")
_R = TypeVar("_R")


def counted_ticks(sensor: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator that stands below Dagster's own. `sensor` is the name that both have."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            result = "failed"
            try:
                answer = function(*args, **kwargs)
                result = "ok"
            finally:
                _note(sensor, result)
            return answer

        @functools.wraps(function)
        def iterate(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[Any]:
            result = "failed"
            try:
                yield from cast("Iterator[Any]", function(*args, **kwargs))
                result = "ok"
            finally:
                _note(sensor, result)

        return cast("Callable[_P, _R]", iterate) if inspect.isgeneratorfunction(function) else call

    return decorate


def _note(sensor: str, result: str) -> None:
    metrics.count(families.SENSOR_TICKS, sensor, result)
    metrics.note_latest(families.SENSOR_LAST_TICK, time.time(), sensor)
