"""Finds agents' Jobs in the cluster by their label, and removes those that the caller names. Decides nothing."""

from dataclasses import dataclass

from squire_pipelines.agents.kubernetes import names
from squire_pipelines.agents.kubernetes.api import ClusterApi
from squire_pipelines.agents.kubernetes.job import FETCHER
from squire_pipelines.agents.kubernetes.pod_status import read_job, read_pod


@dataclass(frozen=True, slots=True)
class AgentJob:
    """A Job of an agent, or of a part of its attempt; `has_begun` says that its pod's containers have run."""

    name: str
    attempt_id: str
    has_begun: bool
    is_ending: bool


def list_jobs(api: ClusterApi) -> tuple[AgentJob, ...]:
    """Return all Jobs of agents in the namespace. Raises EngineError, ClusterRefusalError."""
    jobs = [read_job(item) for item in api.list("jobs", labels=names.SELECTOR).items]
    if not jobs:
        return ()
    begun = set()
    for item in api.list("pods", labels=names.SELECTOR).items:
        pod = read_pod(item)
        fetcher = pod.container(FETCHER)
        if fetcher is not None and (fetcher.running or fetcher.ended):
            begun.add(pod.unit)
    return tuple(AgentJob(job.name, job.attempt_id, job.name in begun, job.is_ending) for job in jobs if job.attempt_id)


def remove(api: ClusterApi, job: AgentJob) -> bool:
    """Remove a Job with its pod and its Secret; return False when there was none, or it goes already."""
    return not job.is_ending and api.delete("jobs", job.name)
