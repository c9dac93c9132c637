"""The tree of errors is what its drawing says, and each error tells what to do."""

import inspect
import re
from collections.abc import Iterator

import pytest

from squire_pipelines import errors
from squire_pipelines.errors import ExitCode, GitHubRateLimitError, SquireError


def all_errors() -> dict[str, type[SquireError]]:
    return {
        name: value for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, SquireError)
    }


def drawn() -> Iterator[tuple[str, str, str]]:
    """Each error of the drawing, with its parent and what is said of it."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^([│├└─ ]*)(\w+Error)\b(.*)$", line):
            depth = len(match[1]) // 4
            path = [*path[:depth], match[2]]
            yield match[2], path[-2] if depth else "Exception", match[3]


def test_the_drawing_shows_every_error_under_its_parent() -> None:
    shown = {name: parent for name, parent, _ in drawn()}
    assert shown == {name: value.__bases__[0].__name__ for name, value in all_errors().items()}


@pytest.mark.parametrize(("name", "drawing"), [(name, drawing) for name, _, drawing in drawn()])
def test_the_drawing_says_the_exit_code_and_what_may_be_tried_again(name: str, drawing: str) -> None:
    error = all_errors()[name]
    if match := re.search(r"exit (\d)", drawing):
        assert error.exit_code == int(match[1])
    if "not retryable" in drawing:
        assert not error.retryable
    elif "retryable" in drawing:
        assert error.retryable


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in all_errors().values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_an_error_shows_its_message_and_hint_and_keeps_its_context() -> None:
    context = {"task_id": "t1"}
    error = SquireError("it broke", hint="mend it", context=context)
    context["task_id"] = "t2"
    assert str(error) == "it broke (mend it)"
    assert str(SquireError("it broke")) == "it broke"
    assert error.context == {"task_id": "t1"}
    with pytest.raises(TypeError):
        error.context["task_id"] = "t3"  # type: ignore[index] # what must not be


def test_a_rate_limit_says_how_long_to_wait() -> None:
    assert GitHubRateLimitError("slow down", retry_after_s=12.5).retry_after_s == 12.5


def test_exit_codes_are_those_that_callers_rely_on() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "CONFIGURATION": 3,
        "NOT_REACHABLE": 4,
        "REFUSED": 5,
        "PARTLY": 6,
    }
