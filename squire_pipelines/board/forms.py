"""Reading the forms that people send: bounded in size and time, and only with the token of their session."""

import asyncio
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from squire_pipelines.board.guard import session_of

MAX_BODY = 2**18
_MAX_FIELDS = 40
_READ_WITHIN_S = 10.0
_FORM_TYPE = "application/x-www-form-urlencoded"
CSRF_FIELD = "csrf"


class FormRefusedError(Exception):
    """A form that is not taken; nothing was done.

    Args:
        status: Of the answer.
        message: Why, as a sentence.
        hint: What to do.
    """

    def __init__(self, status: int, message: str, hint: str = "Nothing was done.") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


async def read_form(request: Request, *, needs_session: bool = True) -> Mapping[str, str]:
    """Return the fields of a form, of each name the last.

    Args:
        request: The request.
        needs_session: Whether it has to repeat the token of its session; the login has none yet.

    Raises:
        FormRefusedError: It is too large or slow, no form, or not from a page of this session.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise FormRefusedError(415, "This is no form.")
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise FormRefusedError(413, f"The form is larger than {MAX_BODY // 1024} KiB.")
    except TimeoutError:
        raise FormRefusedError(408, f"The form did not arrive within {_READ_WITHIN_S:g} seconds.") from None
    except ClientDisconnect:
        raise FormRefusedError(400, "The form did not arrive whole.") from None
    try:
        fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError:
        raise FormRefusedError(400, "The form cannot be read.") from None
    if any("\0" in value for value in fields.values()):
        raise FormRefusedError(400, "The form has a NUL character.")
    session = session_of(request)
    if needs_session and (
        session is None or not hmac.compare_digest(session.csrf.encode(), fields.get(CSRF_FIELD, "").encode())
    ):
        hint = "Nothing was done. Open the page again and repeat it."
        raise FormRefusedError(403, "The form is not of your session, which may have ended meanwhile.", hint)
    return fields


def tenant_asking(request: Request) -> str | None:
    """Return the tenant whose work alone a request may see and change; None for an operator's, who sees all.

    Raises:
        FormRefusedError: There is no session, so that nobody may see anything.
    """
    session = session_of(request)
    if session is None:
        raise FormRefusedError(403, "Your session is over.")
    return session.tenant
