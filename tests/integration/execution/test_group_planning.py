"""What becomes of a plan over several repositories in the ledger, by the settings of each of them."""

import pytest

from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.tasks import Plan, TaskStatus
from squire_pipelines.execution.group_planning import (
    MadeGroupPlan,
    admit_groups_plan,
    due_groups,
    group_basis,
    save_group_plan,
)
from squire_pipelines.ledger import plans, tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.sections.tasks import PublishingSettings
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import TRACE, collect, dispatch, spec

API, WEB = MEMBERS = ("acme/api", "acme/web")
GROUP = PlanGroup(name="checkout", repositories=MEMBERS, goals="Offer and use version 2.")
SETTINGS = Settings(
    repositories=MEMBERS,
    planner=PlannerSettings(model="openai:small", group=(GROUP,)),
    publishing=PublishingSettings(branch_prefix="bots/"),
)


@pytest.fixture
def database() -> str:
    """The rows are those of every plan and task, which are tested on both."""
    return "sqlite"


def made() -> Plan:
    specs = (
        spec("offer", title="Offer it").model_copy(update={"repository": API, "base_branch": "main"}),
        spec("use", title="Use it").model_copy(update={"repository": WEB, "base_branch": "trunk"}),
    )
    return Plan(repository=group_subject(GROUP.name), planner="llm", signals_digest="", tasks=specs)


def test_the_branches_of_a_groups_tasks_begin_as_the_settings_say(ledger: Ledger) -> None:
    with ledger.write() as tx:
        plans.save(tx, made(), (), trace_id=TRACE, run_id=None)
        ids = admit_groups_plan(tx, SETTINGS, GROUP, lambda _: SETTINGS)
        branches = {task.repository: task.branch for task in (tasks.get(tx, task_id) for task_id in ids)}
    assert {name: branch.split("/")[0] for name, branch in branches.items()} == {API: "bots", WEB: "bots"}


def test_a_groups_plan_is_checked_by_the_default_branches_that_github_has(ledger: Ledger) -> None:
    branches = {API: "main", WEB: "develop"}
    with ledger.write() as tx:
        basis = group_basis(tx, SETTINGS, GROUP)
        saved = save_group_plan(tx, SETTINGS, basis, MadeGroupPlan(made(), branches), trace_id=TRACE, run_id="run-1")
        created = admit_groups_plan(tx, SETTINGS, GROUP, lambda _: SETTINGS)
    assert saved is not None
    assert [(finding.task, finding.message) for finding in saved.findings] == [
        ("use", f"has the base branch 'trunk'; that of {WEB} is 'develop'")
    ]
    assert created == ()


def test_a_dependency_that_fails_in_one_repository_cancels_what_waits_in_another(ledger: Ledger) -> None:
    offer, use = made().tasks
    waiting = made().model_copy(update={"tasks": (offer, use.model_copy(update={"depends_on": ("offer",)}))})
    with ledger.write() as tx:
        plans.save(tx, waiting, (), trace_id=TRACE, run_id=None)
        first, second = admit_groups_plan(tx, SETTINGS, GROUP, lambda _: SETTINGS)
        tasks.cancel(tx, first, actor="cli:ann")
    dispatch(ledger)
    with ledger.read() as tx:
        assert (tasks.get(tx, first).repository, tasks.get(tx, second).repository) == MEMBERS
        assert tasks.get(tx, second).status is TaskStatus.CANCELLED


def test_a_group_is_due_once_each_of_its_repositories_was_read_and_none_is_stopped(ledger: Ledger) -> None:
    collect(ledger, repository=API)
    with ledger.read() as tx:
        assert due_groups(tx, SETTINGS) == ()
        assert group_basis(tx, SETTINGS, GROUP).unread == (WEB,)
        assert group_basis(tx, SETTINGS, GROUP, {WEB: ()}).unread == ()
    collect(ledger, repository=WEB)
    with ledger.read() as tx:
        assert due_groups(tx, SETTINGS) == (GROUP,)
        assert due_groups(tx, SETTINGS, stopped=(WEB,)) == ()
