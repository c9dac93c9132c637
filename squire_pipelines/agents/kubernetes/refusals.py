"""The error of a request that an API server refuses."""

from collections.abc import Mapping

from squire_pipelines.errors import RefusedError


class ClusterRefusalError(RefusedError):
    """A cluster's API server refuses a request, for want of rights, by its policies, or since the object cannot be.

    Args:
        message: What happened.
        hint: What to do next.
        status: The status of HTTP.
        reason: The API's word for it, like `Forbidden`.
    """

    code = "cluster_refused"

    def __init__(self, message: str, *, hint: str = "", status: int = 0, reason: str = "") -> None:
        context: Mapping[str, object] = {"status": status, "reason": reason}
        super().__init__(message, hint=hint, context=context)
        self.status = status
        self.reason = reason
