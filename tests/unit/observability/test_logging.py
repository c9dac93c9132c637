import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from squire_pipelines.observability.logging import (
    Component,
    bound_context,
    configure_logging,
    get_logger,
)
from squire_pipelines.secrets import Redactor


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    yield
    configure_logging()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_object_with_time_level_component_and_values() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_logger(Component.PUBLISHER).bind(a=1).info("something happened", b=[1, {"c": None}])
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "something happened",
        "level": "info",
        "component": "publisher",
        "a": 1,
        "b": [1, {"c": None}],
    }


def test_the_context_is_on_every_line_within_and_on_none_after() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    log = get_logger(Component.GITHUB)
    with bound_context(trace_id="t", repository="a/b"):
        with bound_context(task_id="k", attempt_id="k-1"):
            log.warning("inner")
        log.error("outer")
    log.info("after")
    inner, outer, after = lines(stream)
    assert {k: inner[k] for k in ("trace_id", "repository", "task_id", "attempt_id")} == {
        "trace_id": "t",
        "repository": "a/b",
        "task_id": "k",
        "attempt_id": "k-1",
    }
    assert (outer["trace_id"], "task_id" in outer, "trace_id" in after) == ("t", False, False)


def test_tasks_of_asyncio_do_not_share_a_context() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    log = get_logger(Component.GITHUB)

    async def one(name: str) -> None:
        with bound_context(task_id=name):
            await asyncio.sleep(0)
            log.warning(name)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())
    assert {(line["event"], line["task_id"]) for line in lines(stream)} == {("a", "a"), ("b", "b")}


def test_secrets_are_in_no_value_key_or_traceback() -> None:
    stream = io.StringIO()
    secret, token = "correct-horse-battery", "ghp_" + "a1B2" * 9
    configure_logging(stream=stream, redactor=Redactor([secret]))
    log = get_logger(Component.AGENT)
    try:
        int(f"bad {secret} {token}")
    except ValueError:
        log.bind(bound=secret).exception(
            "failed", deep={"a": [{secret: token}]}, thing=ValueError(token), b=secret.encode()
        )
    text = stream.getvalue()
    assert secret not in text
    assert token not in text
    assert "bad [redacted] [redacted]" in lines(stream)[0]["exception"]


def test_patterns_are_hidden_without_a_redactor_too() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    get_logger(Component.AGENT).info("x", token="ghp_" + "a1B2" * 9)
    assert lines(stream)[0]["token"] == "[redacted]"


def test_values_nested_without_end_are_bounded() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    endless: dict[str, Any] = {}
    endless["self"] = endless
    get_logger(Component.AGENT).info("x", endless=endless)
    assert len(stream.getvalue()) < 1000


def test_lower_levels_are_left_out() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream, level="warning")
    log = get_logger(Component.CLI)
    log.debug("no")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_debug_is_written_when_asked_for() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream, level="debug")
    get_logger(Component.CLI).debug("yes")
    assert len(lines(stream)) == 1


def test_a_terminal_gets_text_for_people_with_plain_tracebacks() -> None:
    stream = Terminal()
    configure_logging(stream=stream)
    try:
        int("broken")
    except ValueError:
        get_logger(Component.CLI).exception("it failed")
    assert "it failed" in stream.getvalue()
    assert "ValueError: invalid literal" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_json_can_be_asked_for_on_a_terminal() -> None:
    stream = Terminal()
    configure_logging(stream=stream, as_json=True)
    get_logger(Component.CLI).info("x")
    assert lines(stream)[0]["event"] == "x"


def test_without_set_up_lines_go_to_standard_error_as_it_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger(Component.CLI).info("one")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "one"


def test_importing_brings_in_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "from squire_pipelines.observability.logging import Component, get_logger; get_logger(Component.CLI);"
        "print(sorted({'structlog', 'rich', 'asyncio', 'pydantic'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
