"""Answers requests that are for no path of the receiver, or come by another method, in words, and counts them.

The likeliest is a webhook's address without its path. Requests that reach a path are its endpoint's.
"""

from collections import Counter

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from squire_pipelines.domain.deliveries import UNKNOWN_SENDER
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.webhooks.refusals import RefusalCounts

_METHOD_NOT_ALLOWED = 405
_MAX_LOGGED_PATH = 200
_log = get_logger(Component.WEBHOOKS)


class WrongPaths:
    """Answers in place of the router.

    Args:
        refusals: Counts them, by two reasons.
        github_path: Where GitHub's deliveries are taken.
        hook_path: Where those of other senders are.
    """

    def __init__(self, refusals: RefusalCounts, *, github_path: str, hook_path: str) -> None:
        self._refusals = refusals
        self._hint = (
            f"GitHub's deliveries are taken by POST at {github_path}, those of other senders at {hook_path}: "
            "correct the address at the sender"
        )
        self._times: Counter[tuple[int, bool]] = Counter()

    async def answer(self, request: Request, error: Exception) -> JSONResponse:
        """Return the answer to a request that the router refuses with an HTTPException of 404 or 405."""
        status, headers = 404, None
        if isinstance(error, HTTPException):
            status, headers = error.status_code, error.headers
        is_method = status == _METHOD_NOT_ALLOWED
        message = "the path takes another method" if is_method else "there is nothing at this path"
        self._refusals.count(status, message, source=UNKNOWN_SENDER)
        self._log(request, status, message)
        return JSONResponse({"error": message, "hint": self._hint}, status_code=status, headers=headers)

    def _log(self, request: Request, status: int, message: str) -> None:
        """Log the first, second, fourth, eighth … of GitHub's and of others': scanners hide no delivery of GitHub's."""
        of_github = "x-github-event" in request.headers
        self._times[status, of_github] += 1
        times = self._times[status, of_github]
        if not times & (times - 1):
            _log.warning(
                "request refused",
                status=status,
                reason=message,
                method=request.method,
                path=request.url.path[:_MAX_LOGGED_PATH],
                has_github_headers=of_github,
                times=times,
            )
