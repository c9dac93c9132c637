"""A judgement's child: what it answers, and what becomes of each way in which an input can end it."""

import contextlib
import os
import pickle
import signal
import threading
import time
from decimal import Decimal
from pathlib import Path, PosixPath

import pytest

from squire_pipelines.domain.change import ChangedFile, Decision, Finding, Verdict
from squire_pipelines.errors import BundleError, JudgementError, SquireError, rebuild_error
from squire_pipelines.judgement import JudgementLimits, JudgementVerdict, read_values, run_judgement


def give_back(value: object) -> object:
    return value


def refuse(message: str) -> None:
    raise BundleError(message, problem="fsck", hint="none", context={"line": 3})


def fail() -> None:
    raise KeyError("lost")


def fill_memory() -> int:
    return len([bytearray(2**20) for _ in range(10_000)])


def fill_memory_by_pickling() -> list[bytes]:
    return [bytes([number]) * 2**22 for number in range(200)]


def turn_for_ever() -> None:
    while True:
        pass


def wait_for_ever() -> None:
    threading.Event().wait()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(code: int) -> None:
    os._exit(code)


def print_and_return() -> int:
    print("noise")  # noqa: T201 - what a library might do
    return 7


class Runs:
    """What a child that was taken over would answer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def give_runs(path: Path) -> Runs:
    return Runs(path)


VALUE = (ChangedFile("a", "A", added_lines=((1, "x"),)), Decision.REJECT, {"b": [1.5, None]}, Path("/a"), b"\0")


def test_answer_of_values_comes_back_as_it_is() -> None:
    assert run_judgement("it", JudgementLimits(), give_back, VALUE) == VALUE
    assert run_judgement("it", JudgementLimits(), print_and_return) == 7


def test_error_of_ours_is_raised_with_all_that_it_says() -> None:
    with pytest.raises(BundleError) as caught:
        run_judgement("it", JudgementLimits(), refuse, "no")
    assert (caught.value.message, caught.value.problem, caught.value.hint) == ("no", "fsck", "none")
    assert dict(caught.value.context) == {"problem": "fsck", "line": 3}


SMALL = JudgementLimits(memory=256 * 2**20, cpu_s=2, wall_s=30, output=1000)


@pytest.mark.parametrize(
    ("function", "limits", "verdict"),
    [
        (fill_memory, SMALL, JudgementVerdict.TOO_MUCH_MEMORY),
        (fill_memory_by_pickling, SMALL, JudgementVerdict.TOO_MUCH_MEMORY),
        (turn_for_ever, JudgementLimits(cpu_s=1), JudgementVerdict.TOO_MUCH_TIME),
        (wait_for_ever, JudgementLimits(wall_s=0.5), JudgementVerdict.TOO_MUCH_TIME),
        (crash, SMALL, JudgementVerdict.DIED),
        (fail, SMALL, JudgementVerdict.DIED),
    ],
)
def test_end_of_the_child_is_a_verdict_with_a_name(
    function: object, limits: JudgementLimits, verdict: JudgementVerdict
) -> None:
    with pytest.raises(JudgementError) as caught:
        run_judgement("the input", limits, function)  # type: ignore[arg-type]  # one of several functions
    assert caught.value.verdict == verdict
    assert caught.value.message.startswith("the input ")


@pytest.mark.parametrize("code", [0, 1, 77])
def test_child_that_leaves_without_an_answer_has_died(code: int) -> None:
    with pytest.raises(JudgementError) as caught:
        run_judgement("it", SMALL, leave, code)
    assert caught.value.verdict == JudgementVerdict.DIED


@pytest.mark.slow
def test_answer_that_is_too_long_is_a_verdict() -> None:
    with pytest.raises(JudgementError) as caught:
        run_judgement("it", SMALL, give_back, "x" * 100_000)
    assert caught.value.verdict == JudgementVerdict.TOO_MUCH_OUTPUT


def test_answer_of_a_child_that_was_taken_over_runs_nothing_here(tmp_path: Path) -> None:
    with pytest.raises(JudgementError) as caught:
        run_judgement("it", JudgementLimits(), give_runs, tmp_path / "made")
    assert caught.value.verdict == JudgementVerdict.DIED
    assert "is no value" in caught.value.context["detail"]  # type: ignore[operator]  # a text
    assert not (tmp_path / "made").exists()


class _Named:
    """Pickles itself as `getattr(of, name)`: so Python 3.11.2 names the member of an enumeration."""

    def __init__(self, of: object, name: str) -> None:
        self.parts = (of, name)

    def __reduce__(self) -> tuple[object, tuple[object, str]]:
        return getattr, self.parts


@pytest.mark.parametrize(
    "named",
    [
        b"csquire_pipelines.domain.change\nDecision\n",
        b"csquire_pipelines.domain.change\nFinding\n",
        b"csquire_pipelines.domain.change\nVerdict\n",
        b"csquire_pipelines.errors\nrebuild_error\n",
        b"csquire_pipelines.errors\nSquireError\n",
        b"cpathlib\nPosixPath\n",
        b"cbuiltins\ngetattr\n",
        b"cdecimal\nDecimal\n",
    ],
)
def test_an_answer_changes_nothing_that_it_names(named: bytes) -> None:
    attribute = b"X\x07\x00\x00\x00planted"
    with contextlib.suppress(Exception):  # refused, or set on an object that nobody has
        read_values(b"\x80\x04" + named + b"N}" + attribute + b"K\x01s\x86b.")
    for item in (Decision, Finding, Verdict, rebuild_error, SquireError, PosixPath, Decimal):
        assert not hasattr(item, "planted")


def test_members_of_enumerations_are_read_as_older_pythons_name_them() -> None:
    assert read_values(pickle.dumps([_Named(Decision, "ALLOW")])) == [Decision.ALLOW]


@pytest.mark.parametrize(
    ("of", "name"), [(Decision, "__class__"), (Decision, "mro"), (BundleError, "hint"), ("", "format")]
)
def test_an_answer_asks_for_no_other_attribute(of: object, name: str) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no value"):
        read_values(pickle.dumps(_Named(of, name)))


@pytest.mark.slow
def test_caller_uses_no_processor_while_the_child_is_busy() -> None:
    started = time.process_time()
    with pytest.raises(JudgementError):
        run_judgement("it", JudgementLimits(cpu_s=3), turn_for_ever)
    assert time.process_time() - started < 1.5
