"""Which changes of code are noticed, and when."""

import os
from pathlib import Path

import pytest

from squire_pipelines.runtime.code_watch import SETTLED_S, CodeWatch, code_folders
from squire_pipelines.runtime.load_check import reason_of


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def write(path: Path, text: str, at: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (at, at))
    return path


def test_a_change_is_said_once_when_nothing_has_changed_for_a_moment(tmp_path: Path) -> None:
    clock = Seconds()
    first = write(tmp_path / "package" / "first.py", "1", 1)
    gone = write(tmp_path / "package" / "gone.sql", "1", 1)
    watch = CodeWatch([tmp_path], monotonic=clock)
    assert watch.look() == ()
    write(first, "2", 2)
    clock.wait(SETTLED_S)
    assert watch.look() == ()  # it was not as it is at the look before
    gone.unlink()
    new = write(tmp_path / "package" / "new.py", "", 3)
    clock.wait(SETTLED_S)
    assert watch.look() == ()  # and again more has changed
    clock.wait(SETTLED_S)
    assert watch.look() == (first, gone, new)
    clock.wait(SETTLED_S)
    assert watch.look() == ()


def test_what_python_compiles_and_what_is_hidden_is_no_change(tmp_path: Path) -> None:
    clock = Seconds()
    write(tmp_path / "one.py", "1", 1)
    watch = CodeWatch([tmp_path], monotonic=clock)
    for name in ("__pycache__/one.cpython-311.pyc", ".one.py.swp", ".git/index"):
        write(tmp_path / name, "x", 2)
    for _ in range(3):
        clock.wait(SETTLED_S)
        assert watch.look() == ()


def test_squires_own_code_is_looked_at_where_it_is_no_installed_wheel() -> None:
    own = Path(__file__).parents[3] / "squire_pipelines"
    assert own in code_folders()
    assert all("site-packages" not in folder.parts for folder in code_folders())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:\n", "module.py:1: SyntaxError: "),
        ("import json\nraise ValueError('two\\nlines')\n", "module.py:2: ValueError: two lines"),
        ("import squire_nowhere\n", "module.py:1: ModuleNotFoundError: No module named 'squire_nowhere'"),
    ],
)
def test_the_reason_is_one_line_with_the_place_of_the_code_at_fault(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "module.py"
    with pytest.raises((SyntaxError, ValueError, ImportError)) as caught:
        exec(compile(text, str(path), "exec"), {})  # noqa: S102 - what an import does
    reason_line = reason_of(caught.value)
    assert reason in reason_line
    assert "\n" not in reason_line
