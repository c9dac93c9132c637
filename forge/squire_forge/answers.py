"""Answers in the form that GitHub gives them: errors, headers, ETags; and the check of the caller's token."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from squire_forge.errors import ForgeError
from squire_forge.limits import RateLimits, headers
from squire_forge.world import World

_DOCUMENTATION = "https://docs.github.com/rest"
_MAX_JSON_BYTES = 1_000_000
M = TypeVar("M", bound=BaseModel)


class ApiError(ForgeError):
    """An answer that reports a failure; a route raises it and it becomes the response."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[dict[str, str]] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors
        self.extra_headers = dict(extra_headers or {})

    def response(self) -> Response:
        """Return the error in GitHub's form."""
        body: dict[str, object] = {"message": self.message}
        if self.errors is not None:
            body["errors"] = self.errors
        body |= {"documentation_url": _DOCUMENTATION, "status": str(self.status)}
        return JSONResponse(body, status_code=self.status, headers=self.extra_headers)


def token_of(request: Request) -> str | None:
    """Return the token of `Authorization: Bearer TOKEN` or `token TOKEN`."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() in {"bearer", "token"} else None


def require_token(request: Request, world: World) -> None:
    """Raise ApiError unless the request carries the forge's token, or an App's that covers what is asked."""
    token = token_of(request)
    if token is None:
        raise ApiError(401, "Requires authentication")
    if same_secret(token, world.config.token):
        return
    if not world.apps.allows(token, None, write=False):
        raise ApiError(401, "Bad credentials")
    write = request.method != "GET" and "repo" in request.path_params
    if not world.apps.allows(token, request.path_params.get("repo"), write=write):
        raise ApiError(403, "Resource not accessible by integration")


def same_secret(candidate: str, secret: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(candidate.encode(), secret.encode())


async def read_json(request: Request, limit_bytes: int = _MAX_JSON_BYTES) -> object:
    """Return the body parsed as JSON, `{}` when it is empty. Raises ApiError 400 or 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise ApiError(413, "The request is too large.")
    try:
        return json.loads(body or b"{}")
    except ValueError:
        raise ApiError(400, "Problems parsing JSON") from None


def parse(model: type[M], value: object, resource: str) -> M:
    """Return `value` as a request's model. Raises ApiError 422 in GitHub's form."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = [
            {
                "resource": resource,
                "field": ".".join(str(part) for part in problem["loc"]),
                "code": "missing_field" if problem["type"] == "missing" else "invalid",
                "message": problem["msg"],
            }
            for problem in error.errors()
        ]
        raise ApiError(422, "Validation Failed", errors=details) from error


def answer(request: Request, body: object, status: int = 200, link: str | None = None) -> Response:
    """Return a successful answer; a GET whose ETag the client has is answered with 304."""
    response: Response = JSONResponse(body, status_code=status)
    if link:
        response.headers["link"] = link
    if request.method == "GET":
        etag = f'W/"{hashlib.sha256(bytes(response.body)).hexdigest()}"'
        if etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
            response = Response(status_code=304)
        response.headers["etag"] = etag
    return response


def decorate(response: Response, limits: RateLimits, resource: str, *, is_free: bool = False) -> Response:
    """Add the headers that every answer has, and count the request unless it is free; a 304 costs nothing."""
    is_free |= response.status_code == 304  # noqa: PLR2004 - the status itself says it best
    response.headers.update(headers(resource, limits.spend(resource, 0 if is_free else 1)))
    response.headers["x-github-request-id"] = ":".join(secrets.token_hex(2).upper() for _ in range(5))
    response.headers["x-github-media-type"] = "github.v3; format=json"
    response.headers["x-github-api-version-selected"] = "2022-11-28"
    return response


def exhausted(limits: RateLimits, resource: str) -> ApiError | None:
    """Return the refusal of a request beyond the rate limit, None within it."""
    quota = limits.peek(resource)
    if quota.remaining > 0:
        return None
    return ApiError(403, "API rate limit exceeded for user ID 1000001.", extra_headers=headers(resource, quota))
