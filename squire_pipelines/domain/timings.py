"""How many seconds each part of an attempt took."""

from collections.abc import Mapping
from typing import Self

from squire_pipelines.domain.frozen import SparseModel


class Timings(SparseModel):
    """Seconds by part; None for a part that the attempt did not come to, or did not need."""

    queue_s: float | None = None
    """From the dispatch until Dagster launched the run."""
    launch_s: float | None = None
    """From then until the run's process had started."""
    claim_s: float | None = None
    """From then until the run had claimed the attempt."""
    mirror_s: float | None = None
    """To fetch the repository and write the workspace, on the host."""
    image_s: float | None = None
    """To find the image."""
    warm_s: float | None = None
    """To take a container that waited for an attempt, instead of `create_s` and `start_s`."""
    create_s: float | None = None
    start_s: float | None = None
    workspace_in_s: float | None = None
    """To clone, in the container."""
    agent_start_s: float | None = None
    """The rest until the agent started."""
    first_call_s: float | None = None
    """From the agent's start to its first call of a model."""
    agent_s: float | None = None
    bundle_out_s: float | None = None
    total_s: float | None = None
    """From taking the image to the end of the container."""

    def parts(self) -> dict[str, float]:
        """Return the seconds of the parts that are known, by name."""
        return self.model_dump()

    def with_parts(self, parts: Mapping[str, float]) -> Self:
        """Return these timings with `parts` added to them or put in their place."""
        return self.model_validate(self.parts() | dict(parts))
