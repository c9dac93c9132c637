"""The section `[targets]`: how well work is to go, of all repositories or of one."""

from pydantic import Field

from squire_pipelines.domain.targets import Targets
from squire_pipelines.sections.types import Seconds, SettingsSection


class TargetSettings(SettingsSection):
    """How well work is to go. What is missed is an alert, and in the report."""

    task_failure: float = Field(default=0.05, gt=0, le=1, description="share of tasks that may fail")
    container_crash: float = Field(default=0.01, gt=0, le=1, description="share of agents' containers that may crash")
    ready_to_agent_s: Seconds = Field(default=30, description="to the agent's start, since no rule holds the task")
    ready_to_pull_request_s: Seconds = Field(default=3600, description="to the pull request, likewise")
    ready_share: float = Field(default=0.95, gt=0, lt=1, description="of the tasks that are to keep these two")

    @property
    def targets(self) -> Targets:
        """What the rules take."""
        return Targets(
            task_failure=self.task_failure,
            container_crash=self.container_crash,
            ready_to_agent_s=self.ready_to_agent_s,
            ready_share=self.ready_share,
            ready_to_pull_request_s=self.ready_to_pull_request_s,
        )
