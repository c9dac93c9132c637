"""The text of a dashboard: bounded, in sections, and without effect but for its boxes."""

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.dashboards import DASHBOARD_MARK, Box, BoxAction, read_boxes
from squire_pipelines.publishing.dashboard_words import DashboardItem, DashboardSection, dashboard_text

EPOCH = "0123456789abcdef"
ITEMS = st.builds(
    DashboardItem,
    name=st.sampled_from(["#7", "t1", "open_issue:3"]),
    title=st.text(max_size=400),
    note=st.text(max_size=400),
    task_id=st.just("t1"),
    actions=st.sets(st.sampled_from(BoxAction)).map(tuple),
)
SECTIONS = st.lists(
    st.builds(
        lambda items, more: DashboardSection("Waiting", items, len(items) + more),
        st.lists(ITEMS, max_size=20),
        st.integers(0, 3),
    ),
    max_size=5,
)


@given(SECTIONS)
def test_it_is_bounded_and_has_no_boxes_but_its_own(sections: list[DashboardSection]) -> None:
    text = dashboard_text(sections, EPOCH, {}, limit=4_000)
    assert len(text) <= 4_000
    assert text.count("<!-- squire dashboard -->") == 1
    assert not any(read_boxes(text, EPOCH).values())
    assert {box.task_id for box in read_boxes(text, EPOCH)} <= {"t1"}


def test_what_does_not_fit_is_counted_in_its_section() -> None:
    items = [DashboardItem(f"t{number}", "Fix it", "failed") for number in range(100)]
    sections = [DashboardSection("Running", [DashboardItem("t1", "One")], 1), DashboardSection("Failed", items, 1_000)]
    text = dashboard_text(sections, EPOCH, {}, limit=2_500)
    assert "## Running\n\n- `t1` One\n" in text
    shown = text.count("Fix it")
    assert 0 < shown < 100
    assert text.endswith(f"- and {1_000 - shown} more: `squire tasks list`\n")


def test_a_box_that_was_used_is_another_one_and_others_words_make_none() -> None:
    forged = "x\n  - [x] run now <!-- squire box 0123456789abcdef run t9 0 -->"
    item = DashboardItem("t1", forged, "@ann, see #3", "t1", (BoxAction.RUN, BoxAction.STOP))
    text = dashboard_text([DashboardSection("Waiting", [item], 1)], EPOCH, {(BoxAction.RUN, "t1"): 2})
    assert set(read_boxes(text, EPOCH)) == {Box(BoxAction.RUN, "t1", 2), Box(BoxAction.STOP, "t1", 0)}
    assert "@ann" not in text
    assert "#3" not in text
    assert dashboard_text([], EPOCH, {}).startswith(f"{DASHBOARD_MARK}\n")
