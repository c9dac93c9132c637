"""The options of `squire init` about a GitHub App. What they have done is `init_app`'s."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click

from squire_pipelines.cli.context import CliContext, seconds_option

_SUMMARY = "--organization, --app-name, --continue, --replace, --no-browser, --code-stdin, --port, --wait and --json"


@dataclass(frozen=True, slots=True)
class AppOptions:
    """The options of `squire init` about a GitHub App."""

    github_app: bool
    organization: str | None
    app_name: str | None
    resume: bool
    replace: bool
    no_browser: bool
    code_stdin: bool
    port: int
    wait_s: float
    as_json: bool

    @property
    def is_asked(self) -> bool:
        """Whether the command is to make an App, or to go on with one. Raises UsageError for options without it."""
        others = (self.resume, self.replace, self.no_browser, self.code_stdin, self.as_json, self.port)
        if not self.github_app and (any(others) or self.organization or self.app_name):
            raise click.UsageError(f"{_SUMMARY} belong to --github-app")
        if self.resume and (self.replace or self.code_stdin or self.organization or self.app_name):
            raise click.UsageError("--continue goes on with the App that was made, and takes no option about a new one")
        return self.github_app

    def needs_no_file(self, context: CliContext, *, force: bool) -> bool:
        """Return whether the App goes into a config.toml that is there. Raises UsageError."""
        if self.is_asked and context.config_path.exists() and not force:
            return True
        if self.as_json:
            raise click.UsageError("--json needs a config.toml that is there: run `squire init` first")
        return False


_OPTIONS = (
    click.option("--github-app", is_flag=True, help="Make a GitHub App for Squire, in a browser."),
    click.option("--organization", metavar="NAME", help="Make the App this organization's; else it is your own."),
    click.option("--app-name", metavar="NAME", help="Propose this name, which is one in all of GitHub."),
    click.option("--continue", "resume", is_flag=True, help="Go on after an interruption, or wait for installation."),
    click.option("--replace", is_flag=True, help="Make another App although one is named in the settings."),
    click.option("--no-browser", is_flag=True, help="Open no browser, and say how to use one elsewhere."),
    click.option("--code-stdin", is_flag=True, help="Read the address with the code from standard input too."),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        metavar="N",
        help="Of the page on 127.0.0.1; else a free one.",
    ),
    seconds_option("--wait", 900, "Wait so long for your steps at GitHub, each.", most=86_400),
    click.option("--json", "as_json", is_flag=True, help="Write JSON, with --github-app."),
)


def app_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about a GitHub App, as `app`."""

    @functools.wraps(function)
    def with_options(*args: Any, wait: float, **values: Any) -> Any:
        names = [field.name for field in fields(AppOptions) if field.name != "wait_s"]
        options = AppOptions(wait_s=wait, **{name: values.pop(name) for name in names})
        return function(*args, app=options, **values)

    decorated: Callable[..., Any] = with_options
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
