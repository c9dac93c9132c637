"""The traces of a run of Dagster: its own, which its tag and each log line of its ops have, and those of its parts.

One run reads or plans for many repositories, each of which something else may have asked for.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.observability.logging import Component, bound_context, get_logger

_Member = TypeVar("_Member")
_log = get_logger(Component.PIPELINE)


@contextlib.contextmanager
def run_trace(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[str]:
    """Put the trace id of an op's run on every line that is logged within, and yield it.

    A run that somebody launched by hand has no such tag, and gets an id of its own.
    """
    trace_id = context.run.tags.get(tags.TRACE) or new_trace_id()
    with bound_context(trace_id=trace_id):
        log_start(context)
        yield trace_id


def log_start(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> None:
    """Log which run an op belongs to: Dagster's own lines name the run alone, and this one its trace too."""
    of_op = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
    _log.info("op.started", run_id=context.run.run_id, job=context.run.job_name, op=of_op.op_handle.name)


def traces_by_repository(own_traces: Mapping[str, str], trace_id: str) -> Callable[[str], str]:
    """Return what gives the trace of a repository: of what asked for its part of a run, or else the run's."""
    return lambda repository: own_traces.get(repository, trace_id)


def grouped_by_trace(
    members: Iterable[_Member], trace_of: Callable[[_Member], str]
) -> tuple[tuple[str, list[_Member]], ...]:
    """Return the members that belong to each trace."""
    groups: dict[str, list[_Member]] = defaultdict(list)
    for member in members:
        groups[trace_of(member)].append(member)
    return tuple(groups.items())
