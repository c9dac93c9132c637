"""The board's process: its settings, its token, its socket, and a clean end. What it answers is `app`'s."""

from collections.abc import Callable

from squire_pipelines.board.app import create_board
from squire_pipelines.board.live_tokens import LiveTokens
from squire_pipelines.board.readings import BoardReadings
from squire_pipelines.domain.server_processes import ServerKind
from squire_pipelines.http_server import AnnouncingServer, listen, print_ready
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tenants import record_tenants
from squire_pipelines.observability.logging import Component
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.observability.server_presence import ServerFacts, ServerPresence
from squire_pipelines.process_setup import user_name
from squire_pipelines.reloading.in_force import InForce, SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, status_of
from squire_pipelines.reloading.server_main import run_server
from squire_pipelines.reloading.watch import SettingsWatch
from squire_pipelines.server_connections import ConnectionLimits
from squire_pipelines.settings.restarts import Part

_LIMITS = ConnectionLimits(per_address=128, total=256, until_request=True)
_BUSY_TIMEOUT_S = 5.0


def serve(in_force: SettingsInForce, *, port: int | None = None, announce: Callable[[str], None] = print_ready) -> None:
    """Serve the board until SIGTERM or SIGINT.

    Args:
        in_force: The settings, followed while it serves; `settings.restarts` names those that it is started with.
        port: Where to listen; None for `board.port`.
        announce: Called with the URL when requests are answered.

    Raises:
        SecretMissingError: The settings want a token, and there is none.
        PortInUseError: The port is taken.
        ConfigError: The address cannot be used.
        LedgerError: The ledger cannot be used.
    """
    settings = in_force.settings
    tokens = LiveTokens(in_force)
    ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
    with StatusFile(in_force.home, Part.BOARD) as status:

        def follow(state: InForce) -> None:
            record_tenants(ledger, state.settings.recorded_tenants)
            if tokens.follow(state):
                record_secret_uses(ledger, actor="board")
            status.write(status_of(in_force, Part.BOARD, problem=tokens.problem))

        try:
            ledger.ensure_schema()
            record_secret_uses(ledger, actor="board")
            listener = listen(settings.board.host, settings.board.port if port is None else port, section="board")
            follow(in_force.state)
            with (
                listener,
                SettingsWatch(in_force, after_look=follow),
                ServerPresence(ledger, in_force.home, ServerKind.BOARD, lambda: ServerFacts(problem=tokens.problem)),
            ):
                app = create_board(BoardReadings(in_force, ledger), tokens=tokens.tokens, local_user=user_name())
                server = AnnouncingServer(app, listener, announce=announce, component=Component.BOARD, limits=_LIMITS)
                server.serve_until_stopped()
        finally:
            ledger.close()


def main(*, port: int | None = None, announce: Callable[[str], None] = print_ready) -> int:
    """Serve the board of the home that the environment names. Returns the exit code."""
    return run_server(lambda in_force: serve(in_force, port=port, announce=announce))
