"""Which of a repository's checks are run for an attempt's task, and what its agent is asked to run itself."""

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.verification import PlannedChecks, asked_of_agent, plan_checks
from squire_pipelines.execution.lease import LeasedAttempt


def planned_checks(leased: LeasedAttempt) -> PlannedChecks:
    """Return the checks to run for this attempt's task, and those that are not run."""
    rules = leased.settings.verification_for(leased.task.repository)
    commands = {"tests": rules.tests, "lint": rules.lint, "build": rules.build}
    return plan_checks(leased.task.spec.verification, commands, always=rules.always, enabled=rules.enabled)


def spec_for_agent(leased: LeasedAttempt) -> TaskSpec:
    """Return what is asked for, in which the agent is to run what Squire will run, besides what the task names."""
    spec = leased.task.spec
    return spec.model_copy(update={"verification": asked_of_agent(spec.verification, planned_checks(leased))})
