"""The boxes of a dashboard: each tick by somebody who may counts once, in whatever order texts are read and written."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.authority import ActorKind, Author
from squire_pipelines.domain.dashboards import (
    Box,
    BoxAction,
    TextVersion,
    box_line,
    find_ticks,
    has_tick,
    read_boxes,
)

EPOCH, START = "0123456789abcdef", datetime(2026, 3, 1, tzinfo=UTC)
OURS, WRITER, STRANGER = (Author(login=name, kind=ActorKind.PERSON) for name in ("squire-bot", "ann", "eve"))
SLOTS = [(BoxAction.RETRY, "t1"), (BoxAction.STOP, "t1"), (BoxAction.RUN, "t2")]


def tick_line(text: str, box: Box, mark: str = "x") -> str:
    line = box_line(box, EPOCH, "label")
    return text.replace(line, line.replace("[ ]", f"[{mark}]"))


def untick_line(text: str, box: Box) -> str:
    line = box_line(box, EPOCH, "label")
    return text.replace(line.replace("[ ]", "[x]"), line)


@dataclass
class Board:
    """GitHub's issue with its history, and a process that looks at it; what it reads and writes may lie apart."""

    done: set[Box] = field(default_factory=set)
    acted: list[tuple[Box, str]] = field(default_factory=list)
    expected: set[Box] = field(default_factory=set)
    versions: list[TextVersion] = field(default_factory=list)
    to_write: str | None = None

    def __post_init__(self) -> None:
        self.edit(self.render(), OURS)

    @property
    def text(self) -> str:
        """The text as it is."""
        return self.versions[-1].text or ""

    def uses(self) -> Counter[tuple[BoxAction, str]]:
        """How often each box was acted upon."""
        return Counter((box.action, box.task_id) for box in self.done)

    def render(self) -> str:
        """The text that we write."""
        return "\n".join(box_line(Box(*slot, self.uses()[slot]), EPOCH, "label") for slot in SLOTS)

    def edit(self, text: str, editor: Author) -> None:
        """A new version, as GitHub keeps it."""
        self.versions.append(TextVersion(text, editor, START + timedelta(seconds=len(self.versions))))

    def tick(self, index: int, who: Author) -> None:
        """A person ticks the box that stands there, or unticks it."""
        (box,) = [box for box in read_boxes(self.text, EPOCH) if (box.action, box.task_id) == SLOTS[index]]
        if read_boxes(self.text, EPOCH)[box]:
            self.edit(untick_line(self.text, box), who)
            self.expected.discard(box)
            return
        self.edit(tick_line(self.text, box), who)
        if who is WRITER and box not in self.done:
            self.expected.add(box)

    def read(self) -> None:
        """We read, act once, and keep what is to be written: a delivery that comes twice does it twice."""
        uses = self.uses()
        for box, ticks in find_ticks(self.versions, EPOCH, ours=OURS.login, done=self.done).items():
            assert box.use == uses[box.action, box.task_id]
            by = next((tick.by for tick in ticks if tick.by == WRITER), ticks[0].by)
            self.done.add(box)
            self.acted.append((box, by.login if by is not None else ""))
        self.to_write = self.render()

    def write(self) -> None:
        """We write what we have rendered, although the text may be another one by now."""
        if self.to_write is not None and self.to_write != self.text:
            self.edit(self.to_write, OURS)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.integers(0, 2), st.sampled_from([WRITER, STRANGER])),
        st.just(("read",)),
        st.just(("write",)),
    ),
    max_size=25,
)


@given(STEPS)
def test_each_tick_by_somebody_who_may_is_acted_upon_exactly_once(steps: list[tuple[object, ...]]) -> None:
    board = Board()
    stranger_first: set[Box] = set()
    for step in steps:
        match step:
            case ("tick", int() as index, Author() as who):
                board.tick(index, who)
            case ("read",):
                # What only a stranger ticked so far is refused, and the box is used up by that.
                before = set(board.done)
                board.read()
                new = [(box, by) for box, by in board.acted if box not in before]
                stranger_first |= {box for box, by in new if by != WRITER.login}
            case _:
                board.write()
    board.read()
    counts = Counter(box for box, _ in board.acted)
    assert set(counts.values()) <= {1}
    by_writer = {box for box, by in board.acted if by == WRITER.login}
    assert board.expected - stranger_first <= by_writer


def test_a_tick_that_a_rewriting_took_away_before_it_was_read_counts() -> None:
    board = Board()
    board.to_write = board.render()
    board.tick(0, WRITER)
    board.write()
    assert not has_tick(board.text)
    board.tick(1, WRITER)
    board.read()
    assert [(box.action, by) for box, by in board.acted] == [(BoxAction.RETRY, "ann"), (BoxAction.STOP, "ann")]


def test_a_tick_that_its_author_takes_back_in_time_counts_for_nothing() -> None:
    board = Board()
    board.tick(0, WRITER)
    board.tick(0, WRITER)
    board.read()
    assert board.acted == []


def test_a_tick_is_that_of_who_ticked_and_not_of_who_edited_later() -> None:
    board = Board()
    board.tick(0, STRANGER)
    board.edit(board.text + "\nand more", WRITER)
    board.read()
    assert [by for _, by in board.acted] == ["eve"]


def test_a_version_that_was_deleted_hides_who_ticked() -> None:
    box = Box(BoxAction.RUN, "t1", 0)
    versions = [
        TextVersion(box_line(box, EPOCH, "run now"), OURS, START),
        TextVersion(None, STRANGER, START + timedelta(seconds=1)),
        TextVersion(tick_line(box_line(box, EPOCH, "label"), box), WRITER, START + timedelta(seconds=2)),
    ]
    ((tick,),) = find_ticks(versions, EPOCH, ours=OURS.login).values()
    assert tick.by is None


@pytest.mark.parametrize(
    ("line", "ticked"),
    [
        ("  - [ ] retry <!-- squire box 0123456789abcdef retry t1 0 -->", False),
        ("- [X] retry <!-- squire box 0123456789abcdef retry t1 0 -->\r", True),
        ("* [x] re try <!-- squire box 0123456789abcdef retry t1 0 -->  ", True),
        ("  - [x] retry <!-- squire box ffffffffffffffff retry t1 0 -->", None),
        ("  - [x] retry <!-- squire box 0123456789abcdef merge t1 0 -->", None),
        ("> - [x] retry <!-- squire box 0123456789abcdef retry t1 0 -->", None),
        ("  - [-] retry <!-- squire box 0123456789abcdef retry t1 0 -->", None),
    ],
)
def test_boxes_are_read_as_github_leaves_them(line: str, ticked: bool | None) -> None:  # noqa: FBT001 - a case's value
    boxes = read_boxes(f"text\n{line}\nmore", EPOCH)
    assert boxes == ({} if ticked is None else {Box(BoxAction.RETRY, "t1", 0): ticked})


@given(st.text(max_size=2_000))
def test_any_text_is_read(text: str) -> None:
    assert read_boxes(text, EPOCH) == {}
