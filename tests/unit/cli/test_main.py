import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner, Result

from squire_pipelines import __version__
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.main import Root, cli
from squire_pipelines.errors import ConfigError, EngineError, RefusedError, SquireError
from squire_pipelines.observability.logging import LEVEL_VARIABLE, Component, get_logger, set_level
from squire_pipelines.secrets.secret import Secret
from tests.support.logs import lines, stream

__all__ = ["stream"]


def _run(action: Callable[[], object], *options: str) -> Result:
    group = Root(name="squire", callback=_set_options, params=cli.params)
    group.add_command(click.Command("act", callback=action))
    return CliRunner().invoke(group, [*options, "act"], prog_name="squire")


_set_options = cli.callback


def _raiser(error: BaseException) -> Callable[[], object]:
    def action() -> None:
        raise error

    return action


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"squire {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SquireError("it broke", hint="fix it"), 1),
        (ConfigError("it broke", hint="fix it"), 3),
        (EngineError("it broke", hint="fix it"), 4),
        (RefusedError("it broke", hint="fix it"), 5),
    ],
)
def test_an_error_of_ours_is_one_message_a_hint_and_its_exit_code(error: SquireError, code: int) -> None:
    result = _run(_raiser(error))
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == "error: it broke\nhint: fix it\n"


@pytest.mark.parametrize(("file", "place"), [(None, ", which may be the command's output"), ("/srv/x", " /srv/x")])
def test_a_full_disk_is_no_fault_in_squire(file: str | None, place: str) -> None:
    result = _run(_raiser(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)))
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: a file could not be written{place}: No space left on device\n"
        "hint: free some space, and repeat the command\n"
    )


def test_streams_that_a_command_is_started_without_read_and_write_nothing() -> None:
    code = (
        "import os, sys; from squire_pipelines.process_setup import open_closed_streams; open_closed_streams();"
        "print(sys.stdin.read()); sys.stderr.write(f'{[os.get_inheritable(number) for number in range(3)]}')"
    )
    words = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", code]
    child = subprocess.run(words, check=True, stderr=subprocess.PIPE, text=True, timeout=60)
    assert child.stderr == "[True, True, True]"


def test_what_an_error_quotes_cannot_act_upon_the_terminal() -> None:
    result = _run(_raiser(SquireError("bad \x1b[2Jname\nof two lines")))
    assert result.stderr == "error: bad name of two lines\n"


def test_a_fault_of_ours_shows_its_traceback_only_when_asked() -> None:
    short = _run(_raiser(ValueError("oh")))
    assert short.exit_code == 1
    assert short.stderr.startswith("error: ValueError: oh\nhint: ")
    assert "Traceback" not in short.stderr
    long = _run(_raiser(ValueError("oh")), "-v")
    assert long.exit_code == 1
    assert "Traceback" in long.stderr


def test_an_interrupt_is_130() -> None:
    result = _run(_raiser(KeyboardInterrupt()))
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (130, "", "interrupted")


def test_an_abort_of_a_question_is_1_and_its_interrupt_130() -> None:
    assert _run(_raiser(click.Abort())).exit_code == 1
    interrupted = click.Abort()
    interrupted.__context__ = KeyboardInterrupt()
    assert _run(_raiser(interrupted)).exit_code == 130


def test_a_wrong_option_is_2_with_the_way_to_the_help() -> None:
    result = CliRunner().invoke(cli, ["tasks", "list", "--colour"], prog_name="squire")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: No such option")
    assert "hint: see `squire tasks list --help`" in result.stderr


def test_a_mistyped_command_is_2_with_the_likely_one() -> None:
    result = CliRunner().invoke(cli, ["taks"], prog_name="squire")
    assert result.exit_code == 2
    assert "there is no command 'taks'; did you mean tasks or status?" in result.stderr
    assert CliRunner().invoke(cli, ["--nonsense"]).exit_code == 2


def test_a_word_from_elsewhere_leads_to_the_command_that_does_it() -> None:
    refused = CliRunner().invoke(cli, ["config", "check"], prog_name="squire")
    assert "there is no command 'check'; did you mean validate?" in refused.stderr
    assert "'check'; did you mean" not in CliRunner().invoke(cli, ["tasks", "check"], prog_name="squire").stderr


def test_no_command_at_all_is_the_help_and_2() -> None:
    result = CliRunner().invoke(cli, [], prog_name="squire")
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_other_failures_of_the_system_are_told() -> None:
    assert "OSError" in _run(_raiser(OSError(errno.EIO, "Input/output error"))).stderr


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_failure_to_tell_of() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "squire_pipelines.cli", "config", "show", "--defaults"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    output = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert output == b""


def test_the_command_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "squire_pipelines.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"squire {__version__}\n"


def test_a_lazy_entry_must_be_a_command() -> None:
    group = LazyGroup(name="g", lazy={"x": Lazy("squire_pipelines.cli.text:size", "No command.")})
    with pytest.raises(TypeError, match="not a command"):
        group.get_command(click.Context(group), "x")


@pytest.mark.parametrize(
    ("word", "names"), [("ta", ["tasks"]), ("de", ["demo", "dev", "debug"]), ("--co", ["--config"])]
)
def test_completion_of_commands_imports_none(word: str, names: list[str]) -> None:
    context = click.Context(cli, info_name="squire")
    assert [item.value for item in cli.shell_complete(context, word)] == names


def test_colour_is_left_out_when_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    group = Root(name="squire", callback=_set_options, params=cli.params)
    group.add_command(click.Command("act", callback=_raiser(SquireError("it broke"))))
    result = CliRunner().invoke(group, ["act"], color=True)
    assert result.stderr == "error: it broke\n"
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[31m" in CliRunner().invoke(group, ["act"], color=True).stderr


def test_a_secret_in_the_text_of_an_unexpected_error_is_not_shown() -> None:
    value = Secret("planted-" + "value" * 4, name="model-key").reveal()
    for options in ((), ("-v",)):
        result = _run(_raiser(RuntimeError(f"the library says {value}")), *options)
        assert "the library says [redacted]" in result.stderr
        assert value not in result.output


@pytest.mark.parametrize(
    ("options", "levels"),
    [((), {"info", "error"}), (("--quiet",), {"error"}), (("--debug",), {"debug", "info", "error"})],
)
def test_errors_are_logged_whatever_is_asked_for(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], levels: set[str]
) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "info")
    set_level(None)
    log = get_logger(Component.CLI)

    def act() -> None:
        for level in (log.debug, log.info, log.error):
            level("one")

    result = _run(act, *options)
    assert result.exit_code == 0
    assert {line["level"] for line in lines(stream)} == levels
    assert _run(act, "--quiet", "--debug").exit_code == 2


def test_debugging_one_command_says_what_runs_where_and_how_long_it_took(stream: io.StringIO) -> None:
    _run(lambda: None)
    assert lines(stream) == []
    _run(lambda: None, "--debug")
    starts, ends = lines(stream)
    assert (starts["event"], ends["event"]) == ("command starts", "command ends")
    assert {"home", "version"} <= starts.keys()
    assert ends["seconds"] >= 0


def test_debugging_one_command_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEVEL_VARIABLE, "info")
    assert "Traceback" in _run(_raiser(ValueError("oh")), "--debug").stderr


@pytest.mark.parametrize("group", ["alerts", "backup", "debug", "tasks", "webhooks"])
def test_no_line_of_a_groups_help_is_cut(group: str) -> None:
    shown = CliRunner().invoke(cli, [group, "--help"], prog_name="squire").stdout
    assert "..." not in shown.partition("Commands:")[2]
