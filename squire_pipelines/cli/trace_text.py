"""A trace as lines of text: when each span began, how long it took, a tree of them, and bars, within a width."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from squire_pipelines.cli.text import counted, duration, instant
from squire_pipelines.domain.spans import Span, tree_of
from squire_pipelines.domain.terminal_text import one_line

_MIN_WIDTH = 60
_TIME = 7
_TENTHS_BELOW_S = 100
_HOUR_S = 3600
_BAR_PART = 5
_DEEPEST = 12
_USUAL = frozenset({"completed", "fresh", "success"})


def trace_lines(spans: Sequence[Span], *, now: datetime, width: int, most: int) -> Iterator[str]:
    """Yield the lines of a trace.

    Args:
        spans: Of one trace, at least one.
        now: Until when what runs is drawn.
        width: Of the terminal, in characters.
        most: Lines of the tree.
    """
    width = max(width, _MIN_WIDTH)
    began = min(span.started_at for span in spans)
    ended = max(span.ended_at or max(now, span.started_at) for span in spans)
    repositories = sorted({span.repository for span in spans if span.repository})
    lines = tree_of(spans)
    yield from _head(spans, repositories, began, (ended - began).total_seconds())
    bar = width // _BAR_PART
    for line in lines[:most]:
        text = _description(line.span, names_repository=len(repositories) > 1)
        start, length = _times(line.span, began, now)
        head = f"{_short(start):>{_TIME}} {_short(length):>{_TIME}}  "
        room = width - len(head) - bar - 1
        indent = " " * 2 * min(line.depth, _DEEPEST)
        label = indent + one_line(text, limit=max(1, room - len(indent)))
        yield f"{head}{label:<{room}} {_bar(start, length, began, ended, bar)}"
        if line.span.linked_trace_id is not None:
            yield f"{'':>{len(head)}}{indent}goes on in trace {line.span.linked_trace_id}"
    if len(lines) > most:
        yield f"{len(lines) - most} more; --json has them all"


def _head(spans: Sequence[Span], repositories: Sequence[str], began: datetime, seconds: float) -> Iterator[str]:
    yield f"trace {spans[0].trace_id}"
    names = ", ".join(repositories[:3]) + (f" and {len(repositories) - 3} more" if len(repositories) > 3 else "")  # noqa: PLR2004 - as many as a line takes
    calls = [span for span in spans if span.kind == "model_call"]
    parts = [names, f"{instant(began)}", f"{_short(seconds)} in all"]
    if calls:
        cost = sum(span.cost_usd or 0 for span in calls)
        parts.append(f"{counted(len(calls), 'model call')}, ${cost:.2f}")
    yield one_line("; ".join(filter(None, parts)), limit=200)
    for span in spans:
        if span.title:
            yield f"{span.task_id}: {one_line(span.title, limit=100)}"
    yield f"{'begins':>{_TIME}} {'took':>{_TIME}}"


def _times(span: Span, began: datetime, now: datetime) -> tuple[float, float]:
    end = span.ended_at or max(now, span.started_at)
    return (span.started_at - began).total_seconds(), max(0.0, (end - span.started_at).total_seconds())


def _short(seconds: float) -> str:
    if seconds < _TENTHS_BELOW_S:
        return f"{seconds:.1f}s"
    return f"{seconds // 60:.0f}m{seconds % 60:02.0f}s" if seconds < _HOUR_S else duration(seconds)


def _description(span: Span, *, names_repository: bool) -> str:
    parts = [span.name if span.model is None or span.kind != "model_call" else span.model]
    if span.kind == "task":
        parts.append(span.task_id or "")
    elif span.kind in {"delivery", "collection", "plan"} and names_repository:
        parts.append(span.repository or "")
    elif span.kind == "pull_request":
        parts.append(f"#{(span.url or '').rpartition('/')[2]}")
    if span.kind == "model_call":
        parts += [f"${span.cost_usd:.4f}"] if span.cost_usd else []
        parts.append(f"{span.input_tokens or 0}+{span.output_tokens or 0} tokens")
    if span.status == "running":
        parts.append("(running)" if span.detail in {None, "running"} else f"({span.detail})")
    elif span.status != "ok":
        parts.append(f"{span.status}: {span.detail}" if span.detail not in {None, span.status} else span.status)
    elif span.detail and span.detail not in _USUAL:
        parts.append(span.detail)
    return " ".join(filter(None, parts))


def _bar(start: float, length: float, began: datetime, ended: datetime, width: int) -> str:
    """Return a bar whose place and length are those of the time in the whole trace, at least one character."""
    whole = max((ended - began).total_seconds(), 0.001)
    first = min(width - 1, int(start / whole * width))
    last = min(width, max(first + 1, round((start + length) / whole * width)))
    return " " * first + "█" * (last - first)
