"""The servers of `squire dev`: which are started, where they are, and when they are started again."""

from collections.abc import Callable, Iterator

from squire_pipelines.errors import PortInUseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.addresses import Address, Addresses
from squire_pipelines.runtime.code_reload import CodeReload
from squire_pipelines.runtime.code_watch import CodeWatch, code_folders
from squire_pipelines.runtime.ports import check_free
from squire_pipelines.runtime.repository_reach import RepositoryReach
from squire_pipelines.runtime.services import CODE_SERVER, Services
from squire_pipelines.sections.board import board_address
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.restarts import RESTART_KEYS, Part, changed_restart_keys

_PROCESSES = {
    Part.SENSORS: CODE_SERVER,
    Part.RECEIVER: "receiver",
    Part.ENDPOINT: "endpoint",
    Part.BOARD: "board",
}
"""The processes that can be started again while the others go on, all of which run Squire's code."""


class DevServers:
    """Starts the servers, says where each is, and has them take what has changed.

    Args:
        services: Starts processes.
        ledger: Has what the last readings showed.
        settings: Those at the start.
        say: Tells people, one line at a time.
        follows_code: Whether changed code is taken.
    """

    def __init__(
        self, services: Services, ledger: Ledger, settings: Settings, *, say: Callable[[str], None], follows_code: bool
    ) -> None:
        self._services = services
        self._at_start = settings
        self._say = say
        self._started_with = dict.fromkeys(_PROCESSES, settings)
        self._addresses = Addresses(say=say)
        self._reach = RepositoryReach(ledger, say=say)
        self._code = CodeReload(
            services,
            changes=CodeWatch(code_folders()).look if follows_code else tuple,
            runs_under_way=lambda: runs_under_way(settings),
            say=say,
            names=_PROCESSES.values(),
        )
        self._waits_for_board = False

    def start(self, ui: int, *, webhooks: bool) -> None:
        """Start everything. Raises what `Services` raises."""
        settings = self._at_start
        if webhooks:
            self._services.start_receiver()
        if settings.observability.enabled:
            self._services.start_endpoint()
        if settings.board.enabled:
            self._start_board(settings)
        self._say("starting Dagster")
        self._services.start_daemon()
        self._services.start_webserver(ui)
        self._say(f"logs:      {settings.home.run}")
        host = settings.pipeline.webserver_host
        addresses = [Address("UI", f"http://{host}:{ui}", host, ui, "webserver"), *self._further(settings)]
        self._addresses.expect(addresses, closing="All of it answers. Ctrl-C stops everything.")

    def look(self, settings: Settings) -> None:
        """Say what answers by now and what is out of reach, and take what has changed. Raises NotReachableError."""
        self._addresses.look()
        self._reach.look(settings.repositories)
        if self._waits_for_board and _is_free(settings):
            self._waits_for_board = False
            self._services.start_board()
            self._addresses.expect(one for one in self._further(settings) if one.process == "board")
        for part, process in _PROCESSES.items():
            if self._changed(part, settings):
                self._started_with[part] = settings
                self._code.restart({process})
                self._addresses.expect(one for one in self._further(settings) if one.process == process)
        self._code.look()

    def not_taken(self, settings: Settings) -> tuple[str, ...]:
        """Return the keys of the settings that need a new start of the whole."""
        return tuple(
            key for key in changed_restart_keys(self._at_start, settings, Part.DEV) if Part.DEV in RESTART_KEYS[key]
        )

    def _changed(self, part: Part, settings: Settings) -> tuple[str, ...]:
        if self._started_with[part] is settings:
            return ()
        keys = changed_restart_keys(self._started_with[part], settings, part)
        return tuple(key for key in keys if Part.DEV not in RESTART_KEYS[key])

    def _start_board(self, settings: Settings) -> None:
        try:
            check_free(settings.board.host, settings.board.port, setting="board.port")
        except PortInUseError as error:
            self._waits_for_board = True
            self._say(f"board:     {error.message}: it is served when the port is free, or {error.hint}")
        else:
            self._services.start_board()

    def _further(self, settings: Settings) -> Iterator[Address]:
        """Yield the addresses of the servers beside the UI that are started."""
        started = self._services.children
        if "board" in started:
            board = settings.board
            yield Address("board", board_address(board), board.host, board.port, "board")
        if "receiver" in started:
            host, port = settings.webhooks.host, settings.webhooks.port
            yield Address("webhooks", f"http://{host}:{port}/webhooks/github", host, port, "receiver")
        if "endpoint" in started:
            host, port = settings.observability.host, settings.observability.port
            yield Address("metrics", f"http://{host}:{port}/metrics", host, port, "endpoint")


def _is_free(settings: Settings) -> bool:
    try:
        check_free(settings.board.host, settings.board.port, setting="board.port")
    except PortInUseError:
        return False
    return True


def runs_under_way(settings: Settings) -> int:
    """Return how many runs of a home have a process now."""
    # Imported here: it imports Dagster.
    from squire_pipelines.runtime.recovery import runs_under_way as count  # noqa: PLC0415

    return count(settings)
