"""Changed code is tried first, and taken between two runs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from squire_pipelines.errors import NotReachableError
from squire_pipelines.runtime.code_reload import CHECK_TIMEOUT_S, CodeReload

CODE = ("code-server", "board")


@dataclass
class CheckProcess:
    """The child that tries to load the code; `code` is None while it does."""

    code: int | None = None
    lines: tuple[str, ...] = ()
    is_stopped: bool = False

    @property
    def process(self) -> "CheckProcess":
        return self

    def poll(self) -> int | None:
        return self.code

    @property
    def alive(self) -> bool:
        return self.code is None

    def last_lines(self, _count: int) -> tuple[str, ...]:
        return self.lines

    def stop(self, *, grace_s: float) -> None:
        assert grace_s == 0
        self.is_stopped = True


@dataclass
class Reloading:
    """A reload with processes that do nothing, and what it did."""

    checks: list[CheckProcess] = field(default_factory=list)
    restarted: list[set[str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    changes: list[Sequence[Path]] = field(default_factory=list)
    runs: int = 0
    now: float = 0.0
    error: str = ""

    def __post_init__(self) -> None:
        self.reload = CodeReload(
            self,  # type: ignore[arg-type] # in the place of `Services`
            changes=lambda: self.changes.pop() if self.changes else (),
            runs_under_way=lambda: self.runs,
            say=self.messages.append,
            names=CODE,
            monotonic=lambda: self.now,
        )

    def start_once(self, _name: str, _argv: list[str]) -> CheckProcess:
        self.checks.append(CheckProcess())
        return self.checks[-1]

    def restart(self, names: Collection[str]) -> tuple[str, ...]:
        self.restarted.append(set(names))
        if self.error:
            raise NotReachableError(self.error)
        return tuple(sorted(names))

    def change(self, *names: str) -> CheckProcess:
        self.changes.append([Path(name) for name in names])
        self.reload.look()
        return self.checks[-1]

    def look(self, after_s: float = 10.0) -> None:
        self.now += after_s
        self.reload.look()


def test_code_that_can_be_loaded_is_taken_by_all_who_run_it() -> None:
    reloading = Reloading()
    check = reloading.change("one.py", "two.py", "three.py", "four.py")
    assert reloading.restarted == []
    check.code = 0
    reloading.look()
    reloading.look()
    assert reloading.restarted == [set(CODE)]
    assert check.is_stopped
    assert reloading.messages == [
        "code: one.py, two.py, three.py and 1 more changed; trying to load it",
        "reload: board, code-server started again",
    ]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("noise", "not loaded: one.py:1: SyntaxError: invalid syntax"), "one.py:1: SyntaxError: invalid syntax"),
        (("Traceback (most recent call last):", "  File x", "ImportError: no engine"), "ImportError: no engine"),
    ],
)
def test_code_that_cannot_be_loaded_is_said_in_one_line_and_the_last_good_goes_on(
    lines: tuple[str, ...], reason: str
) -> None:
    reloading = Reloading()
    check = reloading.change("one.py")
    check.code, check.lines = 1, lines
    reloading.look()
    reloading.look()
    assert reloading.restarted == []
    assert reloading.messages[1:] == [f"code: not taken, what was loaded before goes on: {reason}"]


def test_a_check_that_does_not_end_is_ended_and_one_of_older_code_too() -> None:
    reloading = Reloading()
    older = reloading.change("one.py")
    newer = reloading.change("one.py")
    assert (older.is_stopped, newer.is_stopped) == (True, False)
    reloading.look(CHECK_TIMEOUT_S)
    assert newer.is_stopped
    assert reloading.messages[-1].endswith("it was not loaded within 120 s")
    assert reloading.restarted == []


def test_a_change_waits_for_the_runs_that_it_would_cut_off_which_is_said_once() -> None:
    reloading = Reloading(runs=1)
    reloading.change("one.py").code = 0
    for _ in range(3):
        reloading.look()
    assert reloading.restarted == []
    assert reloading.messages[1:] == [
        "reload: waits for 1 run that is under way, and a new start of `squire dev` for none"
    ]
    reloading.runs = 0
    reloading.look()
    assert reloading.restarted == [set(CODE)]


def test_a_process_without_runs_is_started_again_at_once_and_one_that_does_not_start_is_said() -> None:
    reloading = Reloading(runs=1, error="board could not be started")
    reloading.reload.restart({"board"})
    reloading.look()
    reloading.look()
    assert reloading.restarted == [{"board"}]
    assert reloading.messages == ["reload: board could not be started"]
