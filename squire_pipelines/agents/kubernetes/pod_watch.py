"""Follows the pods of one Job in a thread: lists them, watches from there on, and lists again where that breaks off."""

import threading
import time
from collections.abc import Callable
from typing import Self

from squire_pipelines.agents.kubernetes.api import ClusterApi, GoneError
from squire_pipelines.agents.kubernetes.pod_status import PodStatus, read_pod
from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError
from squire_pipelines.errors import EngineError
from squire_pipelines.observability.logging import Component, get_logger, with_context

_log = get_logger(Component.AGENT)
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 5.0
_JOIN_S = 0.2


class PodWatch:
    """What the API says of a Job's pods by now. As a context manager it ends with the block.

    The first pod is the Job's; there is a second one only where an old cluster replaced a pod that was deleted.

    Args:
        api: Is asked.
        labels: A selector of the Job's pods.
        patience_s: How long the API server may be away.
        clock: Monotonic seconds.
    """

    def __init__(
        self, api: ClusterApi, labels: str, *, patience_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._labels = labels
        self._patience_s = patience_s
        self._clock = clock
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._pods: dict[str, PodStatus] = {}
        self._gone: set[str] = set()
        self._first: str | None = None
        self._lost_since: float | None = None
        self._error: EngineError | ClusterRefusalError | None = None
        self._is_listed = False
        self.losses = 0
        """How often the server was away, or a watch broke off with an error."""
        self._thread = threading.Thread(target=with_context(self._follow), name="squire-pods", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End it. A request under way ends by its own limit of time."""
        self._closed.set()
        self._thread.join(_JOIN_S)

    @property
    def is_listed(self) -> bool:
        """Whether the pods were listed once."""
        with self._changed:
            return self._is_listed

    @property
    def pod(self) -> PodStatus | None:
        """The Job's pod as it was seen last, also when it is gone; None before there was one."""
        with self._changed:
            return self._pods.get(self._first) if self._first is not None else None

    @property
    def is_gone(self) -> bool:
        """Whether the pod was there and is not any more."""
        with self._changed:
            return self._first in self._gone

    @property
    def has_second_pod(self) -> bool:
        """Whether the Job has made another pod."""
        with self._changed:
            return len(self._pods) > 1

    def wait_for(self, is_enough: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something that the API says is enough, at most `timeout_s`; return whether it is.

        Raises:
            EngineError: The API server was away for longer than the patience.
            ClusterRefusalError: It refuses to say anything about pods: from the beginning, or for that long.
        """
        end = self._clock() + timeout_s
        with self._changed:
            while not is_enough():
                self._check()
                left_s = end - self._clock()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
            return True

    def _check(self) -> None:
        is_over = self._lost_since is not None and self._clock() - self._lost_since >= self._patience_s
        # A server that was started again may refuse for a moment what it has allowed before.
        if isinstance(self._error, ClusterRefusalError) and (is_over or not self._is_listed):
            raise self._error
        if is_over:
            raise EngineError(
                f"the cluster's API server did not answer for {self._patience_s:.0f} s: "
                f"{self._error.message if self._error is not None else 'no reason'}"
            )

    def _follow(self) -> None:
        pause_s, version = _FIRST_PAUSE_S, ""
        while not self._closed.is_set():
            try:
                if not version:
                    version = self._list()
                version = self._watch(version)
                pause_s = _FIRST_PAUSE_S
            except GoneError:
                version = ""
            except (EngineError, ClusterRefusalError) as error:
                version = ""
                self._note_loss(error)
                self._closed.wait(pause_s)
                pause_s = min(2 * pause_s, _MAX_PAUSE_S)
            except ValueError as error:  # no JSON: something else answers, or the line was cut off
                version = ""
                self._note_loss(EngineError(f"the API server's watch cannot be read: {str(error)[:200]}"))
                self._closed.wait(pause_s)

    def _list(self) -> str:
        listing = self._api.list("pods", labels=self._labels)
        pods = [read_pod(item) for item in listing.items]
        with self._changed:
            self._gone |= set(self._pods) - {pod.uid for pod in pods}
            for pod in sorted(pods, key=lambda one: (one.created_at is None, one.created_at, one.name)):
                self._take(pod)
            self._is_listed = True
            self._note_answer()
        return listing.version

    def _watch(self, version: str) -> str:
        for kind, item in self._api.watch("pods", labels=self._labels, version=version):
            pod = read_pod(item)
            version = pod.version or version
            with self._changed:
                if kind != "BOOKMARK":
                    self._take(pod)
                if kind == "DELETED":
                    self._gone.add(pod.uid)
                self._note_answer()
            if self._closed.is_set():
                break
        with self._changed:
            self._note_answer()
        return version

    def _take(self, pod: PodStatus) -> None:
        if self._first is None:
            self._first = pod.uid
        self._pods[pod.uid] = pod

    def _note_answer(self) -> None:
        self._lost_since = self._error = None
        self._changed.notify_all()

    def _note_loss(self, error: EngineError | ClusterRefusalError) -> None:
        _log.debug("cluster.watch_broke", reason=error.message)
        with self._changed:
            self.losses += 1
            self._lost_since = self._clock() if self._lost_since is None else self._lost_since
            self._error = error
            self._changed.notify_all()
