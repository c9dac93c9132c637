"""Supervises one Job's pod: waits for its beginning and its end, asks it to end, and removes it. Decides nothing."""

import time
from collections.abc import Callable

from squire_pipelines.agents.endings import EXIT_TERMINATED, PlatformVerdict
from squire_pipelines.agents.kubernetes import names
from squire_pipelines.agents.kubernetes.api import ClusterApi
from squire_pipelines.agents.kubernetes.pod_endings import (
    OOM_KILLED,
    StartProblem,
    container_of,
    fetch_failure,
    removed,
    start_problem,
    verdict,
)
from squire_pipelines.agents.kubernetes.pod_status import (
    ClusterEvent,
    ContainerState,
    JobStatus,
    PodStatus,
    read_event,
    read_job,
)
from squire_pipelines.agents.kubernetes.pod_watch import PodWatch
from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError
from squire_pipelines.errors import EngineError, SquireError
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.AGENT)
_PAUSE_S = 0.5
_REMOVE_TRIES = 3
_GONE_S = 60.0
# A pod is deleted from the API before its node says so only with 0; its processes then may live on unseen.
_KILL_GRACE_S = 1
# Its node reports a container's end, then that the pod is over, with the reason: a moment apart.
_LAST_WORD_S = 5.0


class Pod:
    """The pod of a Job that is there; fulfils `supervision.Handle`.

    Args:
        api: Is asked.
        name: The Job's.
        watch: Follows the Job's pods, and has been entered.
    """

    def __init__(self, api: ClusterApi, name: str, watch: PodWatch) -> None:
        self._api = api
        self._name = name
        self._watch = watch
        self._is_asked_to_end = False

    @property
    def status(self) -> PodStatus | None:
        """The pod as it was seen last."""
        return self._watch.pod

    @property
    def agent(self) -> ContainerState | None:
        """The agent's container as it was seen last."""
        pod = self._watch.pod
        return container_of(pod) if pod is not None else None

    @property
    def losses(self) -> int:
        """How often the API server was away."""
        return self._watch.losses

    def why_there_is_none(self) -> PlatformVerdict | None:
        """Return why the Job has no pod and gets none; None where it has one, or may get it."""
        if self._watch.pod is not None or not self._watch.is_listed:
            return None
        try:
            item = self._api.read("jobs", self._name)
        except SquireError as error:  # asked again soon
            _log.debug("cluster.no_job", reason=error.message)
            return None
        job = read_job(item) if item is not None else None
        return removed(job) if job is None or job.has_ended or job.is_ending else None

    @property
    def has_begun(self) -> bool:
        """Whether the agent's container runs or has ended."""
        return (agent := self.agent) is not None and (agent.running or agent.ended)

    @property
    def has_ended(self) -> bool:
        """Whether nothing of the pod runs any more, as far as the API knows."""
        pod, agent = self._watch.pod, self.agent
        return self._watch.is_gone or (pod is not None and pod.is_over) or (agent is not None and agent.ended)

    def wait_for_begin(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` and return whether the agent has begun, or the pod is over. Raises as `wait`."""
        return self._watch.wait_for(lambda: self.has_begun or self.has_ended, timeout_s)

    def wait(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` and return whether the pod has ended.

        Raises:
            EngineError: The API server was away for too long.
            ClusterRefusalError: It says nothing about pods any more.
        """
        is_over = self._watch.wait_for(lambda: self.has_ended, timeout_s)
        if self._watch.has_second_pod and not self._is_asked_to_end:
            # An old cluster replaces a pod that was deleted: what it would do is another attempt's.
            self.terminate()
        return is_over

    def waits_for(self) -> StartProblem | None:
        """Return what the pod waits for, by its state and by the cluster's events; None where nothing is known."""
        return start_problem(self._watch.pod, self._events())

    def _events(self) -> list[ClusterEvent]:
        pod = self._watch.pod
        events: list[ClusterEvent] = []
        for name in (self._name, *([pod.name] if pod is not None else [])):
            try:
                listing = self._api.list("events", fields=f"involvedObject.name={name}")
            except SquireError as error:  # they explain, and nothing depends on them
                _log.debug("cluster.no_events", reason=error.message)
                return events
            events += map(read_event, listing.items)
        return events

    def terminate(self) -> None:
        """Ask it to end: the Job goes with its pod, which gets SIGTERM and the time that its spec says.

        Some versions of the Job's controller would replace the pod alone. A Job that is being deleted makes none.
        """
        self._is_asked_to_end = True
        self._try_to("delete the Job", lambda: self._api.delete("jobs", self._name, wait_for_pods=True))

    def kill(self) -> None:
        """End it at once. Its node still says when that has happened."""
        self.terminate()
        pod = self._watch.pod
        if pod is not None:
            self._try_to("kill the pod", lambda: self._api.delete("pods", pod.name, grace_s=_KILL_GRACE_S))

    def _try_to(self, action: str, request: Callable[[], bool]) -> None:
        try:
            request()
        except SquireError as error:
            # The supervisor goes on waiting, and that ends in an EngineError where the server stays away.
            _log.warning("agent.signal_failed", action=action, reason=error.message[:200])

    def wait_for_last_word(self) -> None:
        """Give the node a moment to say why a container ended that something else has killed."""
        agent = self.agent
        if agent is not None and agent.exit_code in {None, 137, EXIT_TERMINATED}:
            self._watch.wait_for(lambda: self._is_over_or_gone, _LAST_WORD_S)

    @property
    def _is_over_or_gone(self) -> bool:
        is_over = (pod := self._watch.pod) is not None and pod.is_over
        return is_over or self._watch.is_gone or self._watch.has_second_pod

    @property
    def exit_code(self) -> int | None:
        """The agent's exit code; that of SIGTERM where we ended it and the pod went without one; else None."""
        agent = self.agent
        if agent is not None and agent.exit_code is not None:
            return agent.exit_code
        return EXIT_TERMINATED if self._is_asked_to_end and self._watch.is_gone else None

    @property
    def oom_killed(self) -> bool:
        """Whether the node saw the container run out of memory.

        With an exit code of its own it was a child that died. Where the kernel kills all of a container's processes
        together (cgroup v2, from Kubernetes 1.28 on), there is none: the container ends with 137. A node whose runtime
        does not report a child's death says nothing of it.
        """
        agent = self.agent
        return agent is not None and agent.ended_reason == OOM_KILLED

    def platform_verdict(self) -> PlatformVerdict | None:
        """Return what the cluster says of an end that was its doing; None where it was the agent's or ours."""
        if self._is_asked_to_end or (pod := self._watch.pod) is None:
            return None
        job = self._job()
        by_cluster = verdict(pod, job) or (fetch_failure(pod) if not self.has_begun else None)
        if by_cluster is None and (pod.is_ending or (self._watch.is_gone and self.exit_code is None)):
            return removed(job)
        return by_cluster

    def _job(self) -> JobStatus | None:
        try:
            item = self._api.read("jobs", self._name)
        except SquireError as error:  # what the pod itself says is enough
            _log.debug("cluster.no_job", reason=error.message)
            return None
        return read_job(item) if item is not None else None


def remove_job(api: ClusterApi, name: str, attempt_id: str, *, pause_s: float = _PAUSE_S) -> bool:
    """Remove an attempt's Job with its pod and its Secret; log it and return False when it must be left behind.

    The cluster removes what belongs to the Job. What is not the attempt's stays.
    """
    reason = ""
    for number in range(_REMOVE_TRIES):
        try:
            item = api.read("jobs", name)
            if item is None:
                return True
            if read_job(item).attempt_id != attempt_id:
                reason = "it is not the attempt's"
                break
            api.delete("jobs", name)
        except (EngineError, ClusterRefusalError) as error:
            reason = error.message
            if number + 1 < _REMOVE_TRIES:
                time.sleep(pause_s)
        else:
            return True
    _log.warning("agent.job_left_behind", job=name, reason=reason)
    return False


def wait_until_gone(api: ClusterApi, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Wait until a Job that was removed is gone with its pods, for a minute at most. Raises EngineError."""
    end = clock() + _GONE_S
    while clock() < end:
        pods = api.list("pods", labels=f"{names.UNIT}={name}").items
        if not pods and api.read("jobs", name) is None:
            return
        time.sleep(_PAUSE_S)
    raise EngineError(
        f"the Job {name} of an earlier run is still there after {_GONE_S:.0f} s",
        hint="look at it with kubectl describe",
    )
