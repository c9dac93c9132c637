"""Pages as HTML: the one place where values become text of a page, cleaned, without secrets, and escaped."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from squire_pipelines import __version__
from squire_pipelines.board.guard import session_of
from squire_pipelines.board.sessions import SessionStore
from squire_pipelines.domain.alert_texts import duration_text
from squire_pipelines.domain.terminal_text import one_line, plain
from squire_pipelines.secrets.redact import process_redactor

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
_MAX_CHARS = 100_000
_KINDS = {"+": "added", "-": "removed", "@": "place"}


def shown(value: object) -> object:
    """Return what a template writes for a value: text without what is not shown, and without secrets.

    What a template itself has made, such as a macro's result, has been through here already.
    """
    if value is None:
        return ""
    if isinstance(value, Markup | int | float):
        return value
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return process_redactor().redact(plain(str(value)[:_MAX_CHARS]))


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was; empty for None."""
    return "" if moment is None else duration_text(now - moment)


def words(name: object) -> str:
    """Return a name of the code as words: `waiting_for_merge` as `waiting for merge`."""
    return one_line(str(name or "")).replace("_", " ")


def web_link(url: str | None) -> str:
    """Return an address that a page may link to; empty for what is no address of the web."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ""
    return (url or "") if parts.scheme in {"http", "https"} and parts.netloc else ""


def patch_lines(patch: str) -> Markup:
    """Return a patch as lines of which a style sheet says what they are; cleaned and without secrets, as all text."""
    # The whole at once: a secret may go over lines, and thousands of searches would take long.
    text = process_redactor().redact(plain(patch)).removesuffix("\n")
    form, shown_lines, in_hunk = Markup('<span class="{}">{}</span>'), [], False
    for line in text.split("\n"):
        # A line of a file begins with a sign, so these two are git's own.
        in_hunk = line.startswith("@@") or (in_hunk and not line.startswith("diff --git "))
        kind = _KINDS.get(line[:1], "kept") if in_hunk else "file"
        shown_lines.append(form.format(kind, line or " "))
    return Markup("").join(shown_lines)


def page_link(path: str, values: Mapping[str, object]) -> str:
    """Return a link to a page of ours with those of the values that say something."""
    query = urlencode({name: str(value) for name, value in values.items() if value})
    return f"{path}?{query}" if query else path


def make_environment() -> Environment:
    """Return the environment of the templates: everything is escaped, and an unknown name is an error."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": words, "line": one_line, "web_link": web_link, "patch_lines": patch_lines}
    environment.globals |= {"ago": ago, "page_link": page_link, "span": lambda s: duration_text(timedelta(seconds=s))}
    return environment


class PageWriter:
    """Writes pages by their templates.

    Args:
        sessions: Have what the next page says of actions that were done.
    """

    def __init__(self, sessions: SessionStore) -> None:
        self._environment = make_environment()
        self._sessions = sessions

    def write(
        self,
        request: Request,
        template: str,
        values: Mapping[str, Any],
        *,
        status: int = 200,
        with_messages: bool = True,
    ) -> HTMLResponse:
        """Return a page, with the messages of the session that were not shown yet.

        Args:
            request: What it answers.
            template: Its template's name.
            values: What the template names.
            status: Of the answer.
            with_messages: Whether the messages are shown here, for which the ledger is asked: not in an event loop, and
                not on a page about an error.

        Raises:
            LedgerError: The messages cannot be read.
        """
        session = session_of(request)
        common = {
            "session": session,
            "messages": self._sessions.take_messages(session) if session is not None and with_messages else (),
            "path": request.url.path,
            "version": __version__,
        }
        text = self._environment.get_template(template).render({**common, **values})
        return HTMLResponse(text, status_code=status)
