from squire_pipelines.planning.digest import settings_digest
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings

LOCAL = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}


def digest(**planner: object) -> str:
    return settings_digest(Settings(planner=PlannerSettings.model_validate(planner)), "o/r")


def test_what_a_model_plans_by_changes_the_digest() -> None:
    before = digest(**LOCAL, goals="Write docs.")
    assert digest(**LOCAL, goals="Write docs. ") == before
    assert digest(**LOCAL, goals="Write tests.") != before
    assert digest(**{**LOCAL, "model": "n"}, goals="Write docs.") != before
    assert digest(**LOCAL, goals="Write docs.", issue_labels=["bug"]) != before
    assert digest(**LOCAL, goals="Write docs.", timeout_s=7) == before


def test_goals_are_nothing_to_the_rules() -> None:
    assert digest(goals="Write docs.") == digest()
    assert digest(**LOCAL) != digest()


def test_the_bounds_of_a_models_tasks_change_the_digest() -> None:
    bounds = [{}, {"max_task_files": 9}, {"max_task_lines": 9}, {"context_tokens": 9_000}]
    assert len({digest(**LOCAL, **own) for own in bounds}) == len(bounds)
    assert len({digest(**own) for own in bounds}) == 1
