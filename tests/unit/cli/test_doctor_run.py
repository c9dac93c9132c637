"""The doctor's checks run side by side, each within its time."""

import threading
from collections.abc import Callable, Iterator

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.run import DoctorCheck, run_checks
from squire_pipelines.errors import ConfigError

CONTEXT = CliContext(is_interactive=False)


def check(name: str, run: Callable[[CliContext], Iterator[Diagnosis]], timeout_s: float = 30.0) -> DoctorCheck:
    return DoctorCheck(name, "it looks", "mend it", run, timeout_s)


def well(name: str) -> DoctorCheck:
    return check(name, lambda _context: iter([Diagnosis(name, "ok", "well")]))


def failing(name: str) -> DoctorCheck:
    def run(_context: CliContext) -> Iterator[Diagnosis]:
        yield Diagnosis(name, "ok", "begun")
        raise ConfigError("the settings are wrong", hint="correct them")

    return check(name, run)


def test_a_check_that_hangs_ends_at_its_time_and_holds_up_no_other() -> None:
    released = threading.Event()

    def hang(_context: CliContext) -> Iterator[Diagnosis]:
        yield Diagnosis("slow", "ok", "begun")
        released.wait(60)
        yield Diagnosis("slow", "ok", "too late")

    slow = [check("slow", hang, timeout_s=0.2), check("slower", hang, timeout_s=0.3)]
    try:
        rows = list(run_checks((well("first"), *slow, well("a"), well("b")), CONTEXT, at_once=2))
    finally:
        released.set()
    texts = [(row.name, row.status, row.message.partition(":")[0]) for _, row in rows]
    assert sorted(texts) == [
        ("a", "ok", "well"),
        ("b", "ok", "well"),
        ("first", "ok", "well"),
        ("slow", "fail", "not done within 0.2 s"),
        ("slow", "ok", "begun"),
        ("slow", "ok", "begun"),
        ("slower", "fail", "not done within 0.3 s"),
    ]
    assert {row.next_step for _, row in rows if row.status == "fail"} == {
        "run `squire doctor` again; if it stays so: mend it"
    }


def test_the_first_check_is_done_before_another_begins_and_tells_an_error_of_several() -> None:
    rows = list(run_checks((failing("settings"), failing("other"), well("git")), CONTEXT))
    assert [row.name for _, row in rows[:2]] == ["settings", "settings"]
    assert [(number, row.name) for number, row in rows if row.status == "fail"] == [(0, "settings")]
    assert {row.name for _, row in rows} == {"settings", "other", "git"}


def test_a_fault_in_a_check_is_raised_after_the_lines_of_all_others() -> None:
    def broken(_context: CliContext) -> Iterator[Diagnosis]:
        raise LookupError("a fault of ours")

    rows = run_checks((well("first"), check("bad", broken), well("last")), CONTEXT)
    assert [next(rows)[1].name, next(rows)[1].name] == ["first", "last"]
    with pytest.raises(LookupError, match="a fault of ours"):
        next(rows)
