"""The part of `dagster.yaml` by which runs go to the queue of workers, in place of processes of this machine."""

_OF_ONE_MACHINE = "  module: squire_pipelines.jobs.run_queue\n  class: ProcessorBoundRunCoordinator\n"
_OF_WORKERS = "  module: squire_pipelines.jobs.queue_places\n  class: PlaceBoundRunCoordinator\n"
_LAUNCHER = """
# Runs go to the queue of workers, since workers.broker_url names a broker.
run_launcher:
  module: squire_pipelines.jobs.queue_launcher
  class: QueueRunLauncher
"""


def with_queue(text: str) -> str:
    """Return Dagster's settings, as they are shipped, with what has runs go to the queue."""
    return text.replace(_OF_ONE_MACHINE, _OF_WORKERS) + _LAUNCHER
