"""Takes messages about runs from the broker, with Celery's own worker. A run occupies a thread until it is over."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from celery.worker import WorkController, state

from squire_pipelines.work_queue.broker import PREFIX, TASK

_PAUSE_S = 0.5
_STOPS_WITHIN_S = 5.0


class RunConsumer:
    """Takes as many messages at once as there are places, and settles each when its run is over.

    A broker that is away is asked again until it is back; runs that were taken go on meanwhile.

    Args:
        app: Of `broker_app`.
        name: The worker's, for its lines of the log.
        queues: Of `worker_rules`.
        slots: How many runs are taken at once.
        work: Does the run of an id that came by a queue, and returns when it is over: whether the message is done with.
            One that is not goes back into the queue.
    """

    def __init__(
        self, app: Celery, name: str, queues: Collection[str], slots: int, work: Callable[[str, str], bool]
    ) -> None:
        self._queues = [f"{PREFIX}{queue}" for queue in queues]

        @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator] # the library has no types
        def run(task: Task, run_id: str, *_later: object, **_later_named: object) -> None:
            # What a newer Squire may put into its messages beside the run's id says nothing that is needed here.
            queue = str((task.request.delivery_info or {}).get("routing_key", "")).removeprefix(PREFIX)
            if not work(run_id, queue):
                time.sleep(_PAUSE_S)  # it may come back to this very worker, at once
                raise Reject("another worker may take it", requeue=True)

        self._controller: Any = WorkController(
            app=app,
            hostname=f"squire@{name}",
            pool_cls="threads",
            concurrency=slots,
            queues=",".join(self._queues),
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            loglevel="WARNING",
        )
        self._thread = threading.Thread(target=self._controller.start, name="take-runs", daemon=True)

    def start(self) -> None:
        """Begin to take messages, in a thread."""
        state.should_stop = None
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether messages are still waited for."""
        return self._thread.is_alive()

    def take_no_more(self) -> None:
        """Leave the queues to others. Messages whose runs are under way are settled when these are over."""
        consumer = getattr(self._controller, "consumer", None)
        if consumer is None or getattr(consumer, "task_consumer", None) is None:
            return  # it has not begun, or has no broker at the moment; `work` refuses what may come
        for queue in self._queues:
            consumer.call_soon(consumer.cancel_task_queue, queue)

    def stop(self) -> None:
        """Settle what is over, give back what is not begun, and end. Waits a few seconds at most."""
        state.should_stop = 0  # also one that waits for its broker
        self._thread.join(_STOPS_WITHIN_S)
        state.should_stop = None
