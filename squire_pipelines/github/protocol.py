"""What GitHub's answers mean: from status, headers and body to data or one of our errors; signatures of deliveries.

Pure: no I/O and no clock of its own. Requests belong to `client`, the payloads of deliveries to `events`.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gidgethub import sansio

from squire_pipelines.domain.rate_limits import FIRST_WAIT_S
from squire_pipelines.errors import (
    DeliveryError,
    GitHubAuthError,
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubRateLimitError,
    GitHubUnavailableError,
    GitHubValidationError,
)

API_VERSION = "2022-11-28"
"""https://docs.github.com/rest/about-the-rest-api/api-versions"""

_MAX_MESSAGE_CHARS = 1000
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 401, 403, 429, 500
_REDIRECTIONS = frozenset({301, 302, 303, 307, 308})
_GONE_OR_MISSING = frozenset({404, 410, 451})
_TIMED_OUT_MESSAGES = ("something went wrong while executing your query", "couldn't respond to your request in time")
_UNAUTHORIZED_HINT = (
    "the token is wrong, expired or revoked: set a new one with `squire secrets set github-token`, or in the "
    "environment variable or file that it comes from: `squire secrets list` names it"
)
_NOT_FOUND_HINT = "check the name, and that the token may see it: GitHub hides what a token may not read"
_NO_API_HINT = "check `github.api_url`: that of GitHub Enterprise Server ends in /api/v3"
_LIMITS_REQUEST = "GET /rate_limit"
_BROKEN_HINT = "GitHub has a problem: https://www.githubstatus.com"
_TOO_QUICK = "was submitted too quickly"  # with 422, in the place of a limit's status
_SECONDARY_MESSAGES = ("secondary rate limit", "abuse detection", "submitted too quickly")
_PRIMARY_MESSAGES = ("api rate limit exceeded", "api rate limit already exceeded")
_LIMIT_TYPES = frozenset({"RATE_LIMIT", "RATE_LIMITED"})
_LIMIT_CODES = frozenset({"graphql_rate_limit"})


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one part of a GraphQL answer whose other parts are good."""

    path: tuple[str | int, ...]
    error: GitHubError


@dataclass(frozen=True, slots=True)
class GraphQLAnswer:
    """The data of a GraphQL answer, and the errors of the fields that are missing from it."""

    data: dict[str, Any]
    errors: tuple[FieldError, ...] = ()

    def whole(self) -> dict[str, Any]:
        """Return the data when nothing is missing. Raises the first field's error otherwise."""
        for failed in self.errors:
            raise failed.error
        return self.data


@dataclass(frozen=True, slots=True)
class DeliveryHeaders:
    """What a delivery's headers say. Only the body is signed: none of this may be trusted by itself."""

    event: str
    delivery_id: str


def sign(body: bytes, secret: bytes) -> str:
    """Return the value of `X-Hub-Signature-256` for a raw body."""
    return "sha256=" + hmac.digest(secret, body, "sha256").hex()


def verify_signature(body: bytes, header: str | None, secret: bytes) -> bool:
    """Return whether `X-Hub-Signature-256` is the raw body's, compared in constant time.

    An empty secret verifies nothing, and the old SHA-1 form is refused.
    https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    if not secret or header is None:
        return False
    return hmac.compare_digest(sign(body, secret).encode(), header.strip().encode())


def parse_delivery_headers(headers: Mapping[str, str]) -> DeliveryHeaders:
    """Read a delivery's headers, whose names may be in any case. Raises DeliveryError naming the missing one."""
    lower = {name.lower(): value for name, value in headers.items()}
    for name in ("X-GitHub-Event", "X-GitHub-Delivery"):
        if not lower.get(name.lower(), "").strip():
            raise DeliveryError(
                f"the delivery has no header {name}", hint="only GitHub's webhooks are taken at this address"
            )
    return DeliveryHeaders(lower["x-github-event"].strip(), lower["x-github-delivery"].strip())


def retry_after_s(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return how long to wait after a limit: `retry-after`, else until `x-ratelimit-reset`; None when none is named.

    Args:
        headers: The answer's, with lower-case names.
        now: Used when the answer has no `date`: the server's clock decides when there is one.
    """
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    try:
        limit = sansio.RateLimit.from_http(headers)
        if limit is not None and limit.remaining == 0:
            return max(1.0, (limit.reset_datetime - _server_time(headers, now)).total_seconds() + 1.0)
    except (ValueError, OverflowError, OSError):  # a limit that cannot be read is as good as none
        return None
    return None


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: datetime, quotes: bool = True
) -> Any:
    """Return the decoded JSON of a REST answer. Raises the GitHubError that a bad answer means.

    Args:
        status: HTTP status.
        headers: With lower-case names.
        body: Raw.
        request: The request as a reader of the error should see it, such as `GET /repos/o/r`.
        now: See `retry_after_s`.
        quotes: Whether errors have GitHub's own words, which may repeat what was sent.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 - the class of good statuses
        raise error_of(status, headers, body, request=request, now=now, quotes=quotes)
    try:
        return sansio.decipher_response(200, _media_type(headers), body)[0]
    except (ValueError, LookupError, RecursionError) as error:
        raise unreadable_answer(request, status=status) from error


def read_unquoted(status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: datetime) -> Any:
    """Return what `read_answer` does; no error has GitHub's words, which may repeat a secret that was sent."""
    return read_answer(status, headers, body, request=request, now=now, quotes=False)


def read_page(
    status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: datetime
) -> tuple[Any, str | None]:
    """Return a page of a list and the cursor of the next one, None where there is none. Raises as `read_answer`.

    https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    page = read_answer(status, headers, body, request=request, now=now)
    for link in headers.get("link", "").split(","):
        address, _, relation = link.partition(";")
        if 'rel="next"' in relation:
            cursors = parse_qs(urlsplit(address.strip(" <>")).query).get("cursor", [])
            return page, cursors[0] if cursors else None
    return page, None


def read_location(status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: datetime) -> str:
    """Return the address that an answer redirects to. Raises GitHubError for an answer that does not."""
    if status in _REDIRECTIONS and headers.get("location"):
        return headers["location"]
    if 200 <= status < 300:  # noqa: PLR2004 - the class of good statuses
        raise unreadable_answer(request, "no redirection to a file", status=status)
    raise error_of(status, headers, body, request=request, now=now)


def check_download(url: str, *, api_url: str) -> str:
    """Return the address of a file that GitHub redirects to. Raises GitHubUnavailableError for one that is no such.

    It is at least as safe as the API's: with TLS where the API has it, and without a user.
    """
    scheme, api_scheme = urlsplit(url).scheme, urlsplit(api_url).scheme
    if scheme not in {"https", api_scheme} or "@" in urlsplit(url).netloc:
        raise unreadable_answer("a redirection to a file", f"an address of the scheme {scheme!r}")
    return url


def check_file(status: int, headers: Mapping[str, str], *, request: str) -> None:
    """Raise GitHubError unless the host of a file answers with the file as it is."""
    context: dict[str, object] = {"request": request, "status": status}
    if status in _GONE_OR_MISSING:
        raise GitHubNotFoundError(f"the file that {request} leads to is gone", context=context)
    if status != 200 or headers.get("content-encoding", "identity") != "identity":  # noqa: PLR2004 - a good answer's
        raise GitHubUnavailableError(f"the host of the file that {request} leads to answers {status}", context=context)


def read_graphql(status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: datetime) -> GraphQLAnswer:
    """Return the data of a GraphQL answer with its fields' errors. Raises what concerns the answer as a whole.

    A primary limit, and a time-out of GitHub's own, arrive with status 200 and are raised here. So are errors that
    name no field, since then no data was promised.
    """
    if status in _GONE_OR_MISSING:  # a repository that is missing is an error in an answer that is good
        context: dict[str, object] = {"request": request, "status": status}
        raise GitHubValidationError(
            f"there is no GraphQL API at this address: it answered {status}", hint=_NO_API_HINT, context=context
        )
    data = read_answer(status, headers, body, request=request, now=now)
    if not isinstance(data, dict):
        raise unreadable_answer(request, status=status)
    entries = [entry for entry in data.get("errors") or [] if isinstance(entry, dict)]
    errors = [FieldError(_path(entry), _graphql_error(entry, headers, request=request, now=now)) for entry in entries]
    content = data.get("data")
    if content is None and not errors and _says_limit(str(data.get("message") or "")):
        message = str(data["message"])
        raise _limited(f"GitHub answered {request} with: {message}", headers, {"request": request}, now, message)
    for failed in errors:
        if failed.error.retryable or not failed.path or not isinstance(content, dict):
            raise failed.error
    if not isinstance(content, dict):
        raise unreadable_answer(request, status=status)
    return GraphQLAnswer(content, tuple(errors))


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, *, request: str, now: datetime, quotes: bool = True
) -> GitHubError:
    """Return the error that a bad status means.

    https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
    """
    message = _message(body)
    context: dict[str, object] = {"status": status, "request": request, "message": message if quotes else ""}
    if request_id := headers.get("x-github-request-id"):
        context["request_id"] = request_id
    text = f"GitHub answered {request} with {status}" + (f": {message}" if message and quotes else "")
    if status == _TOO_MANY or (status == _FORBIDDEN and _is_limit(headers, message)) or _TOO_QUICK in message:
        return _limited(text, headers, context, now, message)
    if status == _FORBIDDEN:
        return GitHubPermissionError(text, hint=_permission_hint(headers), context=context)
    kind, hint = _kind_of(status)
    if status in _GONE_OR_MISSING and request == _LIMITS_REQUEST:
        hint = _NO_API_HINT  # what every API of GitHub's has
    return kind(text, hint=hint, context=context)


def _kind_of(status: int) -> tuple[type[GitHubError], str]:
    """Return the error, and what to do about it, of a status that needs no look at the headers."""
    if status == _UNAUTHORIZED:
        return GitHubAuthError, _UNAUTHORIZED_HINT
    if status in _GONE_OR_MISSING:
        return GitHubNotFoundError, _NOT_FOUND_HINT
    if status >= _SERVER_ERROR:
        return GitHubUnavailableError, _BROKEN_HINT
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirections
        return GitHubNotFoundError, "it has moved: use the repository's present name"
    return GitHubValidationError, ""


def _graphql_error(entry: Mapping[str, Any], headers: Mapping[str, str], *, request: str, now: datetime) -> GitHubError:
    kind = str(entry.get("type") or "")
    message = str(entry.get("message") or "no message")[:_MAX_MESSAGE_CHARS]
    path = ".".join(map(str, _path(entry)))
    context: dict[str, object] = {"request": request, "type": kind, "message": message, "path": path}
    text = f"GitHub answered {request} with {kind or 'an error'}{f' at {path}' if path else ''}: {message}"
    lower = message.lower()
    if kind.upper() in _LIMIT_TYPES or _codes(entry) & _LIMIT_CODES or _says_limit(message):
        return _limited(text, headers, context, now, message)
    if kind == "NOT_FOUND":
        return GitHubNotFoundError(text, hint=_NOT_FOUND_HINT, context=context)
    if kind in {"FORBIDDEN", "INSUFFICIENT_SCOPES"}:
        return GitHubPermissionError(text, hint=_permission_hint(headers), context=context)
    if any(part in lower for part in _TIMED_OUT_MESSAGES):
        return GitHubUnavailableError(text, hint=_BROKEN_HINT, context=context)
    return GitHubValidationError(text, context=context)


def _limited(
    text: str, headers: Mapping[str, str], context: Mapping[str, object], now: datetime, message: str
) -> GitHubRateLimitError:
    stated = retry_after_s(headers, now=now)
    wait = FIRST_WAIT_S if stated is None else stated
    lower = message.lower()
    is_secondary = any(part in lower for part in _SECONDARY_MESSAGES) or (
        "retry-after" in headers and headers.get("x-ratelimit-remaining") != "0"
    )
    return GitHubRateLimitError(
        text,
        retry_after_s=wait,
        is_stated=stated is not None,
        is_secondary=is_secondary,
        hint=f"GitHub asks to wait {wait:.0f} s; other users of the same token share its allowance",
        context=context,
    )


def _is_limit(headers: Mapping[str, str], message: str) -> bool:
    """Return whether a 403 is a limit, which GitHub says in one of three ways; otherwise it is a permission."""
    return "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or _says_limit(message)


def _says_limit(message: str) -> bool:
    lower = message.lower()
    return any(part in lower for part in (*_SECONDARY_MESSAGES, *_PRIMARY_MESSAGES))


def _codes(entry: Mapping[str, Any]) -> set[str]:
    """Return the codes of a GraphQL error, which some answers have in `extensions`."""
    extensions = entry.get("extensions")
    places = (entry, extensions if isinstance(extensions, dict) else {})
    return {str(code).lower() for place in places if (code := place.get("code"))}


def _permission_hint(headers: Mapping[str, str]) -> str:
    """Return what the token lacks, in GitHub's own words where the answer has them."""
    if "required" in headers.get("x-github-sso", ""):
        return "the organisation asks for single sign-on: authorise the token for it in GitHub's settings"
    if needed := headers.get("x-accepted-github-permissions"):
        return f"the token needs the permission {needed}"
    if needed := headers.get("x-accepted-oauth-scopes"):
        return f"the token needs one of the scopes {needed}; it has {headers.get('x-oauth-scopes') or 'none'}"
    return (
        "the token needs, for this repository: Contents, Pull requests (read and write), Issues, Checks, "
        "Commit statuses (read)"
    )


def _message(body: bytes) -> str:
    """Return GitHub's own words: `message`, and each of `errors` as a person can read it."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(data, dict):
        return ""
    parts = [str(data.get("message") or "")]
    errors = data.get("errors")
    for entry in errors if isinstance(errors, list) else [errors] if errors else []:
        if isinstance(entry, dict):
            where = ".".join(str(entry[key]) for key in ("resource", "field") if entry.get(key))
            parts.append(str(entry.get("message") or f"{where} {entry.get('code') or ''}".strip()))
        else:
            parts.append(str(entry))
    return "; ".join(part for part in parts if part)[:_MAX_MESSAGE_CHARS]


def _path(entry: Mapping[str, Any]) -> tuple[str | int, ...]:
    path = entry.get("path")
    return tuple(part for part in path if isinstance(part, str | int)) if isinstance(path, list) else ()


def _server_time(headers: Mapping[str, str], now: datetime) -> datetime:
    try:
        date = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return now
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _media_type(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the one header by which gidgethub's core decodes; any JSON media type is JSON to us."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return {"content-type": "application/json" if media.endswith("json") else media}


def unreadable_answer(request: str, detail: str = "", **context: object) -> GitHubUnavailableError:
    """Return the error of an answer that GitHub's API would not send."""
    return GitHubUnavailableError(
        f"the answer to {request} is not what GitHub's API sends" + (f": {detail}" if detail else ""),
        hint="check `github.api_url`, and whether a proxy answers in GitHub's place",
        context={"request": request, **context},
    )


def no_answer(kind: type[GitHubUnavailableError], request: str, url: str, reason: str) -> GitHubUnavailableError:
    """Return the error of a request, by its name, to which nobody answered."""
    return kind(
        f"{request}: {url} cannot be reached: {reason}",
        hint="check the network, and `github.api_url` in the settings",
        context={"url": url, "request": request, "reason": reason},
    )
