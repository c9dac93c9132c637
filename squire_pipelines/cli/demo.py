"""`squire demo`: the whole pipeline on this machine, on samples or on a local repository."""

import contextlib
import shlex
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import CliContext, choice_option, seconds_option, with_context
from squire_pipelines.cli.lazy import command
from squire_pipelines.errors import ConfigError

if TYPE_CHECKING:
    from squire_forge.process import ForgeProcess
    from squire_pipelines.demo.driver import DemoResult
    from squire_pipelines.demo.options import DemoOptions
    from squire_pipelines.terminal.console import CleanConsole


@command(
    "demo",
    examples=(
        "squire demo                     # four sample repositories",
        "squire demo --repo ~/src/api    # your own repository, with a linter's safe fixes",
        'squire demo --repo . --issue "Sort the imports" --command "ruff check --select I --fix --exit-zero ."',
        "squire demo --stay              # keep the forge running until Ctrl-C",
    ),
)
@click.option("--repo", type=click.Path(path_type=Path), metavar="PATH", help="Use this local git repository.")
@click.option("--issue", metavar="TEXT", help="With --repo: ask for the work with an issue of this title.")
@click.option("--command", metavar="LINE", help="With --repo: do the work with this command, run in the workspace.")
@click.option("--home", type=click.Path(path_type=Path), metavar="DIR", help="Keep the demo's files in this folder.")
@choice_option("--runner", ("auto", "docker", "local"), "Run the agents in containers or as local processes.")
@choice_option("--executor", ("in_process", "docker"), "Run Squire's own steps in one process or in containers.")
@click.option("--fresh", is_flag=True, help="Start over even if an earlier demo was interrupted.")
@click.option("--stay", is_flag=True, help="Keep the forge running afterwards until Ctrl-C.")
@seconds_option("--timeout", 120, "Give up when nothing has happened for this time.", least=10)
@with_context
def demo(  # noqa: PLR0917 - click gives options by name
    context: CliContext,
    repo: Path | None,
    issue: str | None,
    command: str | None,
    home: Path | None,
    runner: str,
    executor: str,
    timeout: float,
    *,
    fresh: bool,
    stay: bool,
) -> None:
    """Run the whole pipeline on this machine; nothing leaves it.

    A stand-in for GitHub runs on loopback; everything else is the real pipeline: signals, a plan, sandboxed agents,
    pull requests, outcomes and the warehouse. The demo needs no key and no account.

    It ends with 0 when all of it has happened, with 1 when it stopped before its end or something is not as it should
    be, and with 130 when it was interrupted; the next start goes on. With --repo, nothing to change, a refused change
    and a failed command are results, and end it with 0 as a pull request does.
    """
    from squire_pipelines.demo.options import DEFAULT_COMMAND, DEFAULT_ISSUE, DemoOptions  # noqa: PLC0415 - for speed

    try:
        from squire_pipelines.demo.driver import Demo  # noqa: PLC0415 - imports what the other commands do not need
    except ModuleNotFoundError as error:
        if error.name != "squire_forge":
            raise
        raise ConfigError(
            "the demo needs the package squire-forge, which is not installed",
            hint='install it: pip install "squire-pipelines[demo]"; in a checkout: make setup',
        ) from error

    if repo is None and (issue or command):
        raise click.UsageError("--issue and --command go with --repo PATH")
    options = DemoOptions(
        home=(home or context.home.state / "demo").resolve(),
        repository=repo,
        issue=issue or DEFAULT_ISSUE,
        command=command or DEFAULT_COMMAND,
        runner=runner,
        executor=executor,
        stay=stay,
        fresh=fresh,
        timeout_s=timeout,
    )

    def then(result: "DemoResult", forge: "ForgeProcess") -> None:
        _show(context.console, result, options, forge)
        if stay and not result.stopped:
            _wait_for_interrupt(context.console, forge.url)

    result = Demo(options, say=lambda line: context.console.print(f"· {line}")).run(then=then)
    raise SystemExit(0 if result.passed else 1)


def _show(console: "CleanConsole", result: "DemoResult", options: "DemoOptions", forge: "ForgeProcess") -> None:
    from rich.text import Text  # noqa: PLC0415 - only when there is something to show

    from squire_pipelines.runtime.report import cycle_table, failures, remarks  # noqa: PLC0415 - likewise

    console.print()
    if result.rows or not result.stopped:
        console.print(cycle_table(result.rows, console.room))
    if result.stopped:
        console.print(Text(result.stopped))
        return
    if options.repository is None:
        for failure in failures(result.rows):
            console.print(failure)
    for line in remarks([row for row in result.rows if row.cause != "no_changes" or options.repository is None]):
        console.print(line)
    for text in result.results:
        console.print(Text(text))
    if options.repository is not None:
        _show_diffs(console, result, forge)
    console.print()
    for check in result.checks:
        sign, style = ("✓", "green") if check.passed else ("✗", "red")
        detail = f" ({check.detail})" if check.detail else ""
        console.print(Text(f"{sign} {check.name}{detail}", style=style))
    _show_further(console, result, options, forge)


def _show_further(console: "CleanConsole", result: "DemoResult", options: "DemoOptions", forge: "ForgeProcess") -> None:
    from rich.text import Text  # noqa: PLC0415 - likewise

    from squire_pipelines.secrets.key_file import KEY_VARIABLE, key_file  # noqa: PLC0415 - likewise

    console.print(Text(f"\n{'done' if result.passed else 'NOT done'} in {result.seconds:.0f} s. Look further:"))
    # The one with the longest life tells the most.
    first = max(
        result.rows, key=lambda row: [row.repository for row in result.rows].count(row.repository), default=None
    )
    key = key_file()  # as long as the demo runs
    squire = own_command(Path(sys.executable), Path.cwd())
    for further in (
        f"export SQUIRE_HOME={shlex.quote(str(options.home))}",
        f"export {KEY_VARIABLE}={key}   # which is gone when the demo ends" if options.stay and key is not None else "",
        f"{squire} signals list --held",
        f"{squire} history sql 'FROM task_overview'",
        f'{squire} history sql "FROM attempts SELECT repository, cause, count(*) GROUP BY ALL"',
        f"{squire} tasks show {first.task_id}" if first else f"{squire} tasks list",
        f"git clone {shlex.quote(str(forge.home / 'repositories' / first.repository) + '.git')}" if first else "",
        serving_line(options, squire),
    ):
        if further:
            print_whole(console, f"  {further}")


def print_whole(console: "CleanConsole", text: str) -> None:
    """Print lines that are to be copied: the terminal folds them, and what is copied from it stays one line."""
    from rich.text import Text  # noqa: PLC0415 - likewise

    console.print(Text(text), soft_wrap=True)


def serving_line(options: "DemoOptions", squire: str) -> str:
    """Return the line that goes on from here: to the forge's pages, and to Dagster's UI once these are served."""
    if options.stay:
        return f"{squire} dev --no-webhooks   # Dagster's UI, while the forge is served"
    # `squire dev` needs the key of that demo, which only that demo can name.
    return f"{squire} {stay_words(options)}   # serves this demo: the forge's pages, and says how to open Dagster's UI"


def stay_words(options: "DemoOptions") -> str:
    """Return the words after `squire` that serve this demo when it is finished, quoted for a shell."""
    words = ["demo", "--stay", "--home", str(options.home), "--runner", options.runner]
    if options.repository is not None:
        words += ["--repo", str(options.repository.absolute()), "--issue", options.issue, "--command", options.command]
    return shlex.join(words)


def own_command(python: Path, folder: Path) -> str:
    """Return how a shell in `folder` calls the `squire` that is installed beside `python`."""
    script = python.with_name("squire")
    if shutil.which("squire") == str(script) or not script.is_file():
        return "squire"
    return shlex.quote(str(script.relative_to(folder) if script.is_relative_to(folder) else script))


def _show_diffs(console: "CleanConsole", result: "DemoResult", forge: "ForgeProcess") -> None:
    from rich.text import Text  # noqa: PLC0415 - only for a repository of one's own

    from squire_pipelines.demo.local import pull_request_diff  # noqa: PLC0415 - likewise
    from squire_pipelines.terminal.diffs import write_patch  # noqa: PLC0415 - likewise

    numbers = {row.pr_number for row in result.rows}
    for repository in forge.state()["repositories"]:
        for pull in repository["pull_requests"]:
            if pull["number"] not in numbers:
                continue
            diff = pull_request_diff(forge.home / "repositories" / f"{repository['name']}.git", pull)
            console.print(Text(f"\n{forge.url}/{repository['name']}/pull/{pull['number']} changes:", style="bold"))
            print_whole(console, f"{diff.stat}\n")
            if diff.patch is None or write_patch(diff.patch):
                print_whole(console, f"… all of it: {diff.command}")


def _wait_for_interrupt(console: "CleanConsole", url: str) -> None:
    console.print(f"The forge keeps running at {url}; Ctrl-C stops it.")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    with contextlib.suppress(KeyboardInterrupt):
        while not stop.wait(1.0):
            pass
