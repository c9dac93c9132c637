"""`squire init --github-app`: a GitHub App made in a browser, with or without one on this machine.

What it asks of GitHub and keeps is `github.app_registration`'s; what people see and answer is here.
"""

import contextlib
import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from squire_pipelines.cli.app_options import AppOptions
from squire_pipelines.cli.context import CliContext, emit_json
from squire_pipelines.errors import ConfigError, ExitCode, SquireError
from squire_pipelines.terminal.output import ask, write_labelled, write_line

if TYPE_CHECKING:
    from squire_pipelines.github.app_manifest import NewApp
    from squire_pipelines.github.app_page import AppPage, BrowserAnswer
    from squire_pipelines.github.app_registration import AppRecord
    from squire_pipelines.settings.model import Settings

MAX_STORE_ATTEMPTS = 5
_NOT_USABLE = "The App is not usable"


def _tell(text: str = "") -> None:
    write_line(text, err=True)


def set_up_app(context: CliContext, options: AppOptions) -> None:
    """Make an App or go on with one, and write what became of it. Raises SquireError.

    Ends with the exit code 1 when the App is there and not installed yet.
    """
    from squire_pipelines.cli.run import hand_on_config  # noqa: PLC0415 - only here
    from squire_pipelines.github.app_registration import AppRecord  # noqa: PLC0415 - httpx, only here
    from squire_pipelines.settings.model import load_settings  # noqa: PLC0415 - pydantic is slow to import

    hand_on_config(context)
    with _locked(context):
        settings = load_settings(context.config)
        record = AppRecord.read(context.home)
        if options.resume:
            places: dict[str, str] = {}
            record = _resume(context, settings, record)
        else:
            _refuse_second_app(settings, record, options)
            record, places = _make_app(context, settings, options)
        _wait_for_installation(settings, record, places, options)


def _locked(context: CliContext) -> AbstractContextManager[object]:
    """Keep another such command of this home out: the key of one App would come to the id of the other."""
    from squire_pipelines.files import lock  # noqa: PLC0415 - only here

    try:
        return lock(context.home.run / "github-app.lock")
    except TimeoutError:
        raise ConfigError(
            "another `squire init --github-app` of this home is running", hint="go on with that one, or end it first"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{context.home.run} cannot be written: {error.strerror}", hint="make it writable, and run it again"
        ) from error


def _refuse_second_app(settings: "Settings", record: "AppRecord | None", options: AppOptions) -> None:
    from squire_pipelines.settings.errors import variable_at  # noqa: PLC0415 - only here

    for key in ("app_id", "app_slug"):
        if (variable := variable_at(("github", key))) is not None:
            raise ConfigError(
                f"the variable {variable} is set, and would take precedence over the new App", hint="unset it first"
            )
    if options.replace:
        return
    if record is not None:
        raise ConfigError(
            f"the App {record.slug} was made, and the command ended before the settings named it",
            hint="`squire init --github-app --continue` goes on with it; --replace makes another one",
        )
    if settings.github.app_id is not None:
        name = settings.github.app_slug or settings.github.app_id
        raise ConfigError(
            f"the settings name the GitHub App {name} already",
            hint="`squire init --github-app --continue` waits for its installation; --replace makes another one",
        )


def _check_places(context: CliContext, settings: "Settings", options: AppOptions, names: tuple[str, ...]) -> None:
    """Check that all secrets of an App can be kept and will be found, before GitHub shows them once."""
    from squire_pipelines.cli.unlock import open_or_create_store  # noqa: PLC0415 - only here
    from squire_pipelines.github.app_registration import check_settings_writable  # noqa: PLC0415 - likewise
    from squire_pipelines.secrets import keychain, lookup  # noqa: PLC0415 - likewise

    check_settings_writable(context.config_path)
    sources = settings.secret_sources
    for name in names:
        where, _ = lookup.locate_secret(name, sources)
        if where and where not in {keychain.ORIGIN, lookup.STORE_ORIGIN}:
            raise ConfigError(
                f"the {where} has {name}, and would take precedence over the new App's",
                hint="remove the value there, and run the command again",
            )
        if where and not options.replace:
            raise ConfigError(
                f"{name} is kept in the {where} already, and the new App has one of its own",
                hint="--replace puts the new one in its place; `squire secrets rm` removes the old one",
            )
    if any(lookup.belongs_in_file(name, sources) for name in names):
        open_or_create_store(context, sources)
    for name in names:
        lookup.check_storable(name, sources)


def _make_app(context: CliContext, settings: "Settings", options: AppOptions) -> "tuple[AppRecord, dict[str, str]]":
    from squire_pipelines.github import app_manifest, app_page, app_registration  # noqa: PLC0415 - httpx, only here
    from squire_pipelines.github.permissions import needs_of_app  # noqa: PLC0415 - likewise

    github, public_url = settings.github, settings.webhooks.public_url
    web, needs = github.web_url, needs_of_app(settings)
    owner = options.organization or (settings.repositories[0].partition("/")[0] if settings.repositories else "")
    name = app_manifest.app_name(options.app_name, owner or socket.gethostname())
    if public_url is not None:
        app_manifest.check_public(public_url, web)
    _check_places(context, settings, options, app_registration.secret_names(has_webhook=public_url is not None))
    app_registration.check_reachable(github)
    with app_page.AppPage(options.port) as page:
        homepage = f"{web}/{owner}" if owner else web
        content = app_manifest.manifest(name, homepage, page.redirect_url, needs, public_url)
        whose = f"the organization {options.organization}'s" if options.organization else "your own"
        page.show(
            app_page.form_html(
                app_manifest.new_app_url(web, options.organization, page.state),
                content,
                app_manifest.explain_permissions(needs),
                owner=whose,
                web=web,
            )
        )
        with _announced(context, page, options):
            app, answer = _receive(context, settings, page, options)
        record = app_registration.AppRecord.of(app, options.organization)
        _tell(f"GitHub made the App {app.slug}. Its key is shown once, and is kept now.")
        try:
            places = _keep(context, settings, app, record)
        except SquireError as error:
            answer.reply(app_page.BrowserReply(f"{_NOT_USABLE}: {error.message}. Go on at the terminal."))
            raise
        except BaseException:  # Ctrl-C too: GitHub shows the key once, so both sides are told before it goes on
            answer.reply(app_page.BrowserReply(f"{_NOT_USABLE}: the command was interrupted. Go on at the terminal."))
            _tell(f"The key of {app.slug} may not be kept. {_recovery(web, options.organization, app.slug)}")
            raise
        answer.reply(app_page.BrowserReply("", location=app_manifest.install_url(app.page)))
    _name(context, record)
    for secret, place in places.items():
        _tell(f"{secret} is kept in the {place}")
    if settings.github.app_id is not None:
        old = settings.github.app_slug or settings.github.app_id
        _tell(f"The App {old} is no longer used. Delete it: {app_manifest.apps_url(web, None)}, or its organization's.")
    return record, places


def _receive(
    context: CliContext, settings: "Settings", page: "AppPage", options: AppOptions
) -> "tuple[NewApp, BrowserAnswer]":
    """Wait for a code and exchange it; at a terminal, what was pasted in its place may be corrected."""
    from squire_pipelines.deadline import Deadline  # noqa: PLC0415 - likewise
    from squire_pipelines.errors import GitHubNotFoundError  # noqa: PLC0415 - likewise
    from squire_pipelines.github import app_page, app_registration  # noqa: PLC0415 - httpx, only here

    deadline, read_line = Deadline.after(options.wait_s), _line_reader(context, options)
    while True:  # as long as the deadline, which ends the wait
        answer = app_registration.wait_for_code(page, deadline, read_line=read_line, tell=_tell)
        try:
            app = app_registration.exchange_code(settings.github, answer.code, organization=options.organization)
        except SquireError as error:
            answer.reply(app_page.BrowserReply(f"{_NOT_USABLE}: {error.message}. Go on at the terminal."))
            if not (isinstance(error, GitHubNotFoundError) and answer.is_pasted and context.is_interactive):
                raise
            _tell(f"{error.message}. Paste the whole address to which GitHub sent the browser.")
        else:
            return app, answer


def _keep(context: CliContext, settings: "Settings", app: "NewApp", record: "AppRecord") -> dict[str, str]:
    """Keep the App's secrets; a person may repair what hinders it and try again. Raises ConfigError."""
    from squire_pipelines.github.app_registration import keep_secrets  # noqa: PLC0415 - httpx, only here

    for attempt in range(1, MAX_STORE_ATTEMPTS + 1):
        try:
            try:
                record.write(context.home)
            except OSError as error:
                raise ConfigError(f"{context.home.state} cannot be written: {error.strerror}") from error
            return keep_secrets(app, settings.secret_sources, has_webhook=settings.webhooks.public_url is not None)
        except ConfigError as error:
            recovery = _recovery(settings.github.web_url, record.organization, record.slug)
            if attempt == MAX_STORE_ATTEMPTS or not context.is_interactive:
                raise ConfigError(
                    f"the App {record.slug} was made, and its key is not kept: {error.message}", hint=recovery
                ) from error
            write_labelled("error", f"{error.message} ({error.hint})", color="red")
            _tell(f"The key of {record.slug} is still in memory: repair this, then go on. Otherwise: {recovery}")
            ask("press Enter to try again", default="")
    raise AssertionError  # the last attempt raises or returns


def _recovery(web: str, organization: str | None, slug: str) -> str:
    from squire_pipelines.github.app_manifest import settings_url  # noqa: PLC0415 - only here

    settings_page, advanced = (settings_url(web, organization, slug, page) for page in ("", "advanced"))
    return (
        f"generate a new private key at {settings_page}, run `squire secrets set github-app-key < FILE`, then "
        f"`squire init --github-app --continue`; or delete the App at {advanced}, and begin again with --replace"
    )


def _name(context: CliContext, record: "AppRecord") -> None:
    """Name the App in the settings, and forget the note of it. Raises ConfigError."""
    from squire_pipelines.cli.audited import record_settings  # noqa: PLC0415 - SQLAlchemy, only here
    from squire_pipelines.github.app_registration import AppRecord, name_app  # noqa: PLC0415 - likewise

    try:
        name_app(context.config_path, context.home, str(record.id), record.slug)
    except ConfigError as error:
        raise ConfigError(
            f"the secrets of the App {record.slug} are kept, and the settings do not name it: {error.message}",
            hint=f"{error.hint}; then `squire init --github-app --continue`",
        ) from error
    AppRecord.forget(context.home)
    record_settings(context, ["github.app_id", "github.app_slug"])
    _tell(f'set github.app_id = "{record.id}" and github.app_slug = "{record.slug}" in {context.config_path}')


def _resume(context: CliContext, settings: "Settings", record: "AppRecord | None") -> "AppRecord":
    """Return the App that was made, which the settings name afterwards. Raises SquireError."""
    import asyncio  # noqa: PLC0415 - only here

    from squire_pipelines.cli.unlock import unlock_store  # noqa: PLC0415 - only here
    from squire_pipelines.github.access import APP_KEY, app_access  # noqa: PLC0415 - httpx, only here
    from squire_pipelines.github.app_registration import AppRecord  # noqa: PLC0415 - likewise
    from squire_pipelines.secrets.lookup import require_secret  # noqa: PLC0415 - likewise

    app_id = str(record.id) if record is not None else settings.github.app_id
    if app_id is None:
        raise ConfigError("there is no App to go on with", hint="`squire init --github-app` makes one")
    unlock_store(context, settings.secret_sources)
    try:
        access = app_access(settings, require_secret(APP_KEY, settings.secret_sources), app_id=app_id)
        about = asyncio.run(access.about())
    except ConfigError as error:
        if record is None:
            raise
        recovery = _recovery(settings.github.web_url, record.organization, record.slug)
        raise ConfigError(f"the App {record.slug} was made, and {error.message}", hint=recovery) from error
    current = AppRecord(int(about.id), about.slug, about.page, about.organization)
    if record is not None:
        _name(context, current)
    return current


def _wait_for_installation(
    settings: "Settings", record: "AppRecord", places: dict[str, str], options: AppOptions
) -> None:
    from squire_pipelines.deadline import Deadline  # noqa: PLC0415 - only here
    from squire_pipelines.github.access import APP_KEY, app_access  # noqa: PLC0415 - httpx, only here
    from squire_pipelines.github.app_manifest import install_url  # noqa: PLC0415 - likewise
    from squire_pipelines.github.app_registration import as_json, wait_for_installation  # noqa: PLC0415 - likewise
    from squire_pipelines.secrets.lookup import require_secret  # noqa: PLC0415 - likewise

    names = settings.repositories
    on = f"{', '.join(names[:5])}{' and more' if names[5:] else ''}" if names else "your repositories"
    _tell(f"Install it on {on}: {install_url(record.page)}")
    access = app_access(settings, require_secret(APP_KEY, settings.secret_sources), app_id=str(record.id))
    state = wait_for_installation(access, names, Deadline.after(options.wait_s), tell=_tell)
    if options.as_json:
        emit_json(as_json(record, state, places))
    if state.is_complete:
        _tell(f"{record.slug} is installed on {', '.join(state.covered) or 'an account'}.")
        _tell("Next: `squire doctor`, then `squire run --dry-run`.")
        return
    left = ", ".join(state.missing) or "any account"
    write_labelled(
        "error",
        f"{record.slug} is not installed on {left} yet" + (f": {state.problem}" if state.problem else ""),
        color="red",
    )
    write_labelled(
        "hint",
        f"install it at {install_url(record.page)}; `squire init --github-app --continue` waits for it, and "
        "`squire doctor` checks it",
        color="yellow",
    )
    raise SystemExit(ExitCode.FAILED)


@contextlib.contextmanager
def _announced(context: CliContext, page: Any, options: AppOptions) -> Iterator[None]:
    """Show the page to the person: in a browser, or by what to do without one here. Raises ConfigError."""
    from squire_pipelines.files import write_atomically  # noqa: PLC0415 - only here
    from squire_pipelines.home import make_folder  # noqa: PLC0415 - likewise

    if not options.no_browser and _has_display() and _open_browser(page.url):
        _tell(f"A browser shows the page that makes the App; if not, open it yourself: {page.url}")
        yield
        return
    file = make_folder(context.home.run) / "github-app.html"
    write_atomically(file, page.html)
    host = socket.gethostname()
    _tell(f"Open this page, which makes the App, in a browser on this machine: {page.url}")
    _tell("From another machine, keep this open there, and open the same address:")
    _tell(f"  ssh -N -L {page.port}:127.0.0.1:{page.port} {host}")
    if options.code_stdin or context.is_interactive:
        _tell(
            f"Without such a way: copy {file} to a machine with a browser, and open it there. After you have made the"
        )
        _tell(
            "App, the browser is sent to an address that it cannot open. Paste that whole address here, within an hour:"
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _has_display() -> bool:
    """Return whether a browser could show a window: text browsers would take the terminal."""
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(url: str) -> bool:
    import webbrowser  # noqa: PLC0415 - only here

    try:
        browser = webbrowser.get()
        # A program of this kind may be a text browser, and would take the terminal until it ends.
        return type(browser) is not webbrowser.GenericBrowser and browser.open(url)
    except (webbrowser.Error, OSError):
        return False


def _line_reader(context: CliContext, options: AppOptions) -> Callable[[], str | None]:
    """Return what reads a pasted line when one is there, and waits for none. The end of the input is an error."""
    if not (options.code_stdin or context.is_interactive):
        return lambda: None
    is_open = True

    def read() -> str | None:
        nonlocal is_open
        if not is_open:
            return None
        try:
            if not select.select([sys.stdin], [], [], 0)[0]:
                return None
        except (OSError, ValueError):  # standard input is no file, as in a program that calls this
            pass
        line = sys.stdin.readline(4000)
        is_open = bool(line)
        if not line and options.code_stdin:
            raise ConfigError(
                "standard input ended without an address that has a code",
                hint="give the whole address to which GitHub sent the browser, on a line of its own",
            )
        return line or None

    return read
