import ast
import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
import structlog

from squire_pipelines.observability.logging import (
    LEVEL_VARIABLE,
    Component,
    LineFormat,
    bound_context,
    configure_logging,
    get_logger,
    lines_together,
    set_format,
    set_level,
    with_context,
)
from squire_pipelines.secrets import Secret
from tests.support.house import modules
from tests.support.logs import lines

SECRET = "correct-horse-battery"
TOKEN = "ghp_" + "a1B2" * 9
HOME_OF_LOGGING = "squire_pipelines/observability/logging.py"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_an_object_with_time_level_component_and_values(stream: io.StringIO) -> None:
    get_logger(Component.PUBLISHER).info("something_happened", a=1, b=[1, {"c": None}])
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("machine")
    assert line == {
        "event": "something_happened",
        "level": "info",
        "component": "publisher",
        "a": 1,
        "b": [1, {"c": None}],
    }


@pytest.mark.parametrize(
    ("line_format", "at_terminal", "is_json"),
    [("auto", False, True), ("auto", True, False), ("json", True, True), ("console", False, False)],
)
def test_lines_are_text_on_a_terminal_unless_the_settings_say_otherwise(
    line_format: LineFormat, *, at_terminal: bool, is_json: bool
) -> None:
    written = Terminal() if at_terminal else io.StringIO()
    configure_logging(Component.CLI, stream=written)
    set_format(line_format)
    get_logger(Component.AGENT).info("one_thing", a=1)
    set_format("auto")
    assert written.getvalue().startswith("{") == is_json
    assert ("\x1b" in written.getvalue()) == (at_terminal and not is_json)


def test_a_line_of_a_library_is_written_too_with_its_logger_and_the_component_of_the_process(
    stream: io.StringIO,
) -> None:
    with bound_context(trace_id="t"):
        logging.getLogger("library.part").warning("%s left of %d", "nothing", 7)
    (line,) = lines(stream)
    assert line.pop("timestamp")
    assert line.pop("machine")
    assert line == {
        "event": "nothing left of 7",
        "level": "warning",
        "component": "cli",
        "logger": "library.part",
        "trace_id": "t",
    }


def test_the_context_is_on_every_line_within_and_on_none_after(stream: io.StringIO) -> None:
    log = get_logger(Component.GITHUB)
    with bound_context(trace_id="t", repository="a/b"):
        with bound_context(task_id="k", attempt_id="k-1", delivery_id="d"):
            log.warning("inner")
        log.error("outer")
    log.info("after")
    inner, outer, after = lines(stream)
    assert {k: inner[k] for k in ("trace_id", "repository", "task_id", "attempt_id", "delivery_id")} == {
        "trace_id": "t",
        "repository": "a/b",
        "task_id": "k",
        "attempt_id": "k-1",
        "delivery_id": "d",
    }
    assert (outer["trace_id"], "task_id" in outer, "trace_id" in after) == ("t", False, False)


def test_tasks_of_asyncio_do_not_share_a_context(stream: io.StringIO) -> None:
    log = get_logger(Component.GITHUB)

    async def one(name: str) -> None:
        with bound_context(task_id=name):
            await asyncio.sleep(0)
            log.warning(name)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())
    assert {(line["event"], line["task_id"]) for line in lines(stream)} == {("a", "a"), ("b", "b")}


def test_a_thread_has_the_context_in_which_it_was_made(stream: io.StringIO) -> None:
    with bound_context(trace_id="t"):
        thread = threading.Thread(target=with_context(lambda: get_logger(Component.AGENT).info("in_a_thread")))
    thread.start()
    thread.join()
    assert lines(stream)[0]["trace_id"] == "t"


def test_secrets_are_in_no_value_key_or_traceback(stream: io.StringIO) -> None:
    Secret(SECRET)
    try:
        int(f"bad {SECRET} {TOKEN}")
    except ValueError:
        get_logger(Component.AGENT).exception(
            "failed", deep={"a": [{SECRET: TOKEN}]}, thing=ValueError(TOKEN), b=SECRET.encode()
        )
    assert SECRET not in stream.getvalue()
    assert TOKEN not in stream.getvalue()
    assert "bad [redacted] [redacted]" in lines(stream)[0]["exception"]


def test_secrets_are_in_no_line_of_a_library_whichever_handler_writes_it(stream: io.StringIO) -> None:
    Secret(SECRET)
    own = io.StringIO()
    library = logging.getLogger("library.with.handler")
    handler = logging.StreamHandler(own)
    library.addHandler(handler)
    try:
        for logger in (library, logging.getLogger("library.without")):
            logger.warning("the value is %s", SECRET, stack_info=True)
            logger.warning(ValueError(SECRET))
            logger.warning("%d fits not", SECRET)
            try:
                int(SECRET)
            except ValueError:
                logger.exception("it failed")
    finally:
        library.removeHandler(handler)
    for text in (own.getvalue(), stream.getvalue()):
        assert text.count("[redacted]") >= 4
        assert SECRET not in text
    assert {line["logger"] for line in lines(stream)} == {"library.without"}  # the other's handler has written its own


def test_structlogs_loggers_are_led_to_the_same_lines(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    Secret(SECRET)
    structlog.get_logger("library").warning("a thing", value=SECRET)
    assert [(line["event"], line["value"]) for line in lines(stream)] == [("a thing", "[redacted]")]
    assert capsys.readouterr() == ("", "")


def test_patterns_are_hidden_though_nobody_knows_the_value(stream: io.StringIO) -> None:
    get_logger(Component.AGENT).info("x", token=TOKEN)
    assert lines(stream)[0]["token"] == "[redacted]"


def test_values_nested_without_end_are_bounded(stream: io.StringIO) -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    get_logger(Component.AGENT).info("x", endless=endless)
    assert len(stream.getvalue()) < 1000


def test_a_value_that_cannot_be_shown_ends_nothing(stream: io.StringIO) -> None:
    class Sullen:
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

    get_logger(Component.AGENT).info("x", value=Sullen())
    assert stream.getvalue() == "a log line could not be written: RuntimeError\n"


def test_a_closed_stream_ends_nothing(stream: io.StringIO) -> None:
    stream.close()
    get_logger(Component.AGENT).info("x")


@pytest.mark.parametrize(
    ("level", "ours", "libraries"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["info", "warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("warning", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_lower_levels_are_left_out(stream: io.StringIO, level: Any, ours: list[str], libraries: list[str]) -> None:
    set_level(level)
    for logger in (get_logger(Component.CLI), logging.getLogger("library")):
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)(name)
    assert [line["event"] for line in lines(stream)] == ours + libraries


class CountingStream(io.StringIO):
    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_the_lines_of_a_block_are_written_at_once_also_when_it_fails() -> None:
    written = CountingStream()
    configure_logging(Component.CLI, stream=written)
    log = get_logger(Component.CLI)
    with suppress(KeyError), lines_together():
        log.info("first")
        with lines_together():
            log.info("second")
        assert written.writes == 0
        raise KeyError
    log.info("third")
    assert [line["event"] for line in lines(written)] == ["first", "second", "third"]
    assert written.writes == 2


def test_the_environment_sets_the_level(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "error")
    set_level(None)
    get_logger(Component.CLI).warning("no")
    monkeypatch.setenv(LEVEL_VARIABLE, "shout")  # the settings refuse it; until they are read, it is the default
    set_level(None)
    get_logger(Component.CLI).info("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.usefixtures("stream")
def test_a_terminal_gets_text_for_people_with_plain_tracebacks() -> None:
    terminal = Terminal()
    configure_logging(Component.CLI, stream=terminal)
    try:
        int("broken")
    except ValueError:
        get_logger(Component.CLI).exception("it_failed")
    assert "it_failed" in terminal.getvalue()
    assert "ValueError: invalid literal" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


@pytest.mark.usefixtures("stream")
def test_set_up_twice_writes_each_line_once_to_standard_error_as_it_is_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(Component.CLI)
    configure_logging(Component.CLI)
    get_logger(Component.CLI).info("one")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["event"] for line in captured.err.splitlines()] == ["one"]


def test_setting_up_brings_in_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules);"
        "from squire_pipelines.observability.logging import Component, configure_logging, get_logger;"
        "configure_logging(Component.CLI); get_logger(Component.CLI);"
        "print(sorted({'structlog', 'rich', 'asyncio', 'pydantic'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_no_module_makes_a_logger_in_another_way() -> None:
    others = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        if path != HOME_OF_LOGGING
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Import)
            and {alias.name.partition(".")[0] for alias in node.names} & {"structlog", "logging"}
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {"structlog", "logging"})
    ]
    assert others == []


@pytest.mark.slow
def test_every_component_writes_something() -> None:
    used = {
        node.attr
        for path, tree in modules().items()
        if path != HOME_OF_LOGGING
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Component"
    }
    assert used == set(Component.__members__)
