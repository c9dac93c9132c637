"""What a task will likely cost, and when nobody can say so."""

from squire_pipelines.domain.cost_prediction import MIN_TASKS, TaskCosts, predict_cost

COSTS = TaskCosts(MIN_TASKS, 0.1, 0.25, 1.5)


def test_a_range_comes_from_tasks_of_the_same_kind_and_model() -> None:
    predicted = predict_cost("codex", "gpt-5", "fix_ci", {("fix_ci", "gpt-5"): COSTS})
    assert str(predicted) == f"0.10 to 1.50 USD, usually 0.25 (by {MIN_TASKS} tasks of the kind fix_ci with gpt-5)"


def test_too_little_history_is_said() -> None:
    few = {("fix_ci", "gpt-5"): TaskCosts(1, 0.1, 0.1, 0.1), ("other", "gpt-5"): COSTS}
    predicted = predict_cost("codex", "gpt-5", "fix_ci", few)
    assert (predicted.costs, predicted.tasks) == (None, 1)
    assert "too little history: 1 task of the kind fix_ci with gpt-5, and 5 are needed" in str(predicted)
    assert "0 tasks" in str(predict_cost("codex", "gpt-5", "manual", few))


def test_an_agent_without_a_model_costs_nothing_that_is_counted() -> None:
    assert str(predict_cost("command", None, "fix_ci", {})).startswith("not known: the agent command calls no model")
