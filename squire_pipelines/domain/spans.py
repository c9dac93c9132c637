"""Spans of a trace: what happened from a delivery to a pull request, as a tree. Pure.

They are derived from the ledger's rows by the warehouse's view `trace`; here is what may be done with them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

_SAMPLED_DIGITS = 16
MAX_DEPTH = 40
"""More than any chain of hand-overs has; a ring of parents ends there."""


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that happened, with the columns of the view `trace`, which describes them."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    linked_trace_id: str | None
    kind: str
    name: str
    status: str
    detail: str | None
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    repository: str | None
    task_id: str | None
    attempt_id: str | None
    source_id: str
    title: str | None
    url: str | None
    provider: str | None
    model: str | None
    http_status: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class TreeLine:
    """A span and how deep it stands below what began the trace."""

    span: Span
    depth: int


def story_of(spans: Sequence[Span], task_id: str) -> tuple[Span, ...]:
    """Return the spans that belong to one task: its own, those that led to it, and what followed from it.

    Other repositories' readings and other tasks of the same tick, command or plan are left out.
    """
    by_id = {span.span_id: span for span in spans}
    own = {span.span_id for span in spans if span.task_id == task_id}
    roots = {span.repository for span in spans if span.span_id in own}
    kept = set(own)
    for span_id in own:
        kept.update(_ancestors(by_id, span_id))
    for span in spans:
        is_own_call = span.kind == "model_call" and span.task_id is None and span.parent_span_id in kept
        is_reading = span.kind in {"delivery", "collection"} and span.repository in roots
        if is_own_call or is_reading or not own.isdisjoint(_ancestors(by_id, span.span_id)):
            kept.add(span.span_id)
    return tuple(span for span in spans if span.span_id in kept)


def _ancestors(by_id: dict[str, Span], span_id: str) -> Iterator[str]:
    parent = by_id[span_id].parent_span_id
    for _ in range(MAX_DEPTH):
        if parent is None or parent not in by_id:
            return
        yield parent
        parent = by_id[parent].parent_span_id


def tree_of(spans: Iterable[Span]) -> tuple[TreeLine, ...]:
    """Return the spans as lines of a tree: each after what it followed from, those beside each other by their times."""
    ordered = sorted(spans, key=lambda span: (span.started_at, span.kind != "delivery", span.span_id))
    ids = {span.span_id for span in ordered}
    below: dict[str | None, list[Span]] = defaultdict(list)
    for span in ordered:
        below[span.parent_span_id if span.parent_span_id in ids else None].append(span)
    lines: list[TreeLine] = []
    waiting = [TreeLine(span, 0) for span in reversed(below[None])]
    while waiting:
        line = waiting.pop()
        lines.append(line)
        if line.depth < MAX_DEPTH:
            waiting += [TreeLine(span, line.depth + 1) for span in reversed(below[line.span.span_id])]
    return tuple(lines)


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Return whether a trace is one of those that are sent, the same for all its spans in every process.

    By the last 64 bits of its id, as OpenTelemetry's `TraceIdRatioBased` decides.
    """
    return int(trace_id[-_SAMPLED_DIGITS:], 16) < ratio * 2**64
