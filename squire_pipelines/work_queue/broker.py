"""The broker that carries runs to workers: its Celery application, a message for each run, what is wrong with it.

A message has the run's id and nothing else. Whether the run goes on, was taken or is over stands in the ledger, so that
no results are kept, and whatever the broker loses or delivers twice changes nothing.
"""

from collections.abc import Callable
from urllib.parse import quote, urlsplit, urlunsplit

from celery import Celery
from kombu.exceptions import KombuError

from squire_pipelines.domain.worker_rules import broker_priority
from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.secret_names import BROKER_KEY
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings

TASK = "squire.run"
PREFIX = "squire."
_PROBE = f"{PREFIX}probe"
_LEVELS = 10
_VISIBILITY_S = 6 * 3600
"""After so long Redis gives a message to another worker that the first has not settled; the ledger then refuses it."""

PROBE_EVERY_S = 10.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0


class BrokerError(NotReachableError):
    """The broker that carries runs to workers does not answer, or takes nothing."""

    code = "broker"


def broker_app(settings: Settings) -> Celery:
    """Return the application that sends and takes runs. Raises ConfigError without a broker in the settings."""
    url, timeout_s = settings.workers.broker_url, settings.workers.broker_timeout_s
    if url is None:
        raise ConfigError("no broker is set", hint="set workers.broker_url, for example to redis://host:6379/0")
    secret = find_secret(BROKER_KEY, settings.secret_sources)
    app = Celery("squire", broker=_with_password(url, secret.reveal() if secret else None), set_as_current=False)
    transport: dict[str, object] = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
    if _is_redis(url):
        transport |= {
            "visibility_timeout": _VISIBILITY_S,
            "queue_order_strategy": "priority",
            "priority_steps": list(range(_LEVELS)),
            "sep": ":",
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
        }
    else:
        transport |= {"confirm_publish": True, "read_timeout": timeout_s, "write_timeout": timeout_s}
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_acks_late=True,
        task_create_missing_queues=True,
        task_queue_max_priority=_LEVELS,
        task_publish_retry=False,
        broker_transport_options=transport,
        broker_connection_timeout=timeout_s,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=2,
        broker_heartbeat=30,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        accept_content=["json"],
        task_serializer="json",
    )
    return app


def send_run(app: Celery, run_id: str, *, queue: str, priority: int) -> None:
    """Put a run into a queue.

    Args:
        app: Of `broker_app`.
        run_id: The run.
        queue: Of `worker_rules`.
        priority: Of the task, where 1 goes first.

    Raises:
        BrokerError: The broker does not take it.
    """
    rank = broker_priority(priority, first_is_lowest=_is_redis(str(app.conf.broker_url)))
    _ask(app, lambda: app.send_task(TASK, args=[run_id], queue=f"{PREFIX}{queue}", priority=rank))


def check_broker(app: Celery) -> None:
    """Put a message into a queue of its own and take it out again. Raises BrokerError when that cannot be done."""

    def probe() -> None:
        with app.connection_for_write() as connection, connection.SimpleQueue(_PROBE) as queue:
            queue.put("probe")
            queue.clear()

    _ask(app, probe)


def why_away(settings: Settings, *, within_s: float) -> str | None:
    """Return why the broker takes nothing, or None, after one look for people who wait for it. Raises ConfigError."""
    workers = settings.workers.model_copy(update={"broker_timeout_s": within_s})
    try:
        check_broker(broker_app(settings.model_copy(update={"workers": workers})))
    except BrokerError as error:
        return error.message
    return None


def _ask(app: Celery, action: Callable[[], object]) -> None:
    connection = app.connection_for_write()
    errors = (*connection.connection_errors, *connection.channel_errors, KombuError, OSError)
    try:
        action()
    except errors as error:
        # The URL in messages of these libraries has no password.
        parts = urlsplit(str(app.conf.broker_url))
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BrokerError(
            f"the broker {place} takes no runs: {reason}",
            hint=f"runs wait until it does; is it running, is workers.broker_url right, and the secret {BROKER_KEY}?",
        ) from error
    finally:
        connection.release()


def _is_redis(url: str) -> bool:
    return url.startswith("redis")


def _with_password(url: str, password: str | None) -> str:
    if password is None:
        return url
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{quote(password, safe='')}@{place}"))


class BrokerWatch:
    """Knows what is wrong with the broker, asked again after growing times of half a minute at most.

    Args:
        check: Raises BrokerError when the broker takes nothing.
        monotonic: Seconds.
    """

    def __init__(self, check: Callable[[], None], monotonic: Callable[[], float]) -> None:
        self._check = check
        self._monotonic = monotonic
        self._next = float("-inf")
        self._wait_s = 0.0
        self._problem: str | None = None

    def look(self) -> str | None:
        """Return why the broker takes nothing, or None; it is asked no more often than it should be."""
        if self._monotonic() >= self._next:
            try:
                self._check()
            except BrokerError as error:
                self.note(error)
            else:
                self._problem, self._wait_s = None, 0.0
                self._next = self._monotonic() + PROBE_EVERY_S
        return self._problem

    def note(self, error: BrokerError) -> None:
        """Take note of a message that the broker did not take."""
        self._problem = str(error.message)
        self._wait_s = min(max(2 * self._wait_s, _FIRST_WAIT_S), _LONGEST_WAIT_S)
        self._next = self._monotonic() + self._wait_s
