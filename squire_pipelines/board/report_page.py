"""The report as it was written last, which is a page of its own that loads nothing: see `warehouse.report`."""

import base64
import hashlib
import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from squire_pipelines.board.forms import tenant_asking
from squire_pipelines.board.readings import BoardReadings
from squire_pipelines.errors import NotFoundError

_MAX_BYTES = 16 * 2**20
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
_TOO_LARGE = "open its file, report.html in the home"
_HINT = "the asset history/report is written each morning, and whenever somebody materializes it in Dagster's UI"


class ReportPage:
    """Shows the report.

    Args:
        readings: Know where it lies.
    """

    def __init__(self, readings: BoardReadings) -> None:
        self._readings = readings

    def show(self, request: Request) -> Response:
        """Show the report, with a policy that allows its one style sheet. Raises NotFoundError."""
        readings = self._readings.for_tenant(tenant_asking(request))
        try:
            with readings.report_file.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            raise NotFoundError("there is no report yet", hint=_HINT) from None
        if len(content) > _MAX_BYTES:
            raise NotFoundError("the report is too large for the board", hint=_TOO_LARGE)
        style = _STYLE.search(content)
        digest = base64.b64encode(hashlib.sha256(style[1] if style else b"").digest()).decode()
        policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        return HTMLResponse(content, headers={"Content-Security-Policy": policy})
