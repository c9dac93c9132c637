"""The trace of a run of Dagster: a tag of the run, and a value of each log line that its ops cause."""

import contextlib
from collections.abc import Iterator

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.observability.logging import bound_context


@contextlib.contextmanager
def run_trace(context: dg.OpExecutionContext | dg.AssetExecutionContext) -> Iterator[str]:
    """Put the trace id of an op's run on every line that is logged within, and yield it.

    A run that somebody launched by hand has no such tag, and gets an id of its own.
    """
    trace_id = context.run.tags.get(tags.TRACE) or new_trace_id()
    with bound_context(trace_id=trace_id):
        yield trace_id
