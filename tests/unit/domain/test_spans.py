from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.spans import MAX_DEPTH, Span, is_sampled, story_of, tree_of

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
EMPTY = Span(
    trace_id="ab" * 16, span_id="", parent_span_id=None, linked_trace_id=None, kind="step", name="", status="ok",
    detail=None, started_at=START, ended_at=START, duration_s=0, repository="acme/shop", task_id=None, attempt_id=None,
    source_id="1", title=None, url=None, provider=None, model=None, http_status=None, input_tokens=None,
    output_tokens=None, cached_tokens=None, cost_usd=None, recorded_at=START,
)  # fmt: skip


def span(name: str, parent: str | None = None, *, after_s: float = 0, **values: object) -> Span:
    began = START + timedelta(seconds=after_s)
    named = replace(EMPTY, span_id=name, name=name, parent_span_id=parent, started_at=began)
    return replace(named, **values)  # type: ignore[arg-type]  # names of its fields


def drawn(spans: list[Span]) -> list[str]:
    return ["-" * line.depth + line.span.name for line in tree_of(spans)]


def test_a_tree_has_each_span_after_what_it_followed_from_and_beside_others_by_time() -> None:
    spans = [span("b", "root", after_s=2), span("a", "root", after_s=1), span("deep", "a", after_s=9), span("root")]
    assert drawn(spans) == ["root", "-a", "--deep", "-b"]


def test_a_span_whose_parent_is_not_there_is_drawn_as_a_beginning() -> None:
    assert drawn([span("late", after_s=5), span("lost", "gone")]) == ["lost", "late"]


def test_spans_that_follow_from_each_other_are_not_followed_for_ever() -> None:
    chain = [span("0")] + [span(str(number), str(number - 1)) for number in range(1, MAX_DEPTH + 20)]
    assert max(line.depth for line in tree_of(chain)) == MAX_DEPTH
    assert tree_of([span("a", "b"), span("b", "a")]) == ()


def test_the_story_of_a_task_leaves_out_what_else_the_same_tick_caused() -> None:
    spans = [
        span("ours read", kind="collection"),
        span("theirs read", kind="collection", repository="acme/web"),
        span("plan", "ours read", kind="plan"),
        span("asked", "plan", kind="model_call"),
        span("task", "plan", kind="task", task_id="t1"),
        span("attempt", "task", kind="attempt", task_id="t1"),
        span("follow-up", "attempt", kind="task", task_id="t3"),
        span("other task", "plan", kind="task", task_id="t2"),
        span("their task", "theirs read", kind="task", task_id="t4", repository="acme/web"),
    ]
    names = [member.name for member in story_of(spans, "t1")]
    assert names == ["ours read", "plan", "asked", "task", "attempt", "follow-up"]


@given(st.integers(0, 2**128 - 1), st.floats(0, 1))
def test_a_trace_that_is_sampled_at_a_ratio_is_at_each_greater_one(number: int, ratio: float) -> None:
    trace_id = f"{number:032x}"
    assert is_sampled(trace_id, 1)
    assert not is_sampled(trace_id, 0)
    if is_sampled(trace_id, ratio):
        assert is_sampled(trace_id, min(1.0, ratio + 0.1))


def test_a_ratio_takes_about_that_part_of_all_traces() -> None:
    ids = [f"{number * 0x9E3779B97F4A7C15 % 2**64:032x}" for number in range(1, 2001)]
    assert 380 < sum(is_sampled(trace_id, 0.2) for trace_id in ids) < 420
