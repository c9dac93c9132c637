CREATE VIEW success_by_repository AS
SELECT
    tasks.repository,
    count(*) AS tasks,
    count(*) FILTER (tasks.status IN ('proposed', 'ready', 'running')) AS unfinished,
    count(*) FILTER (tasks.status = 'succeeded') AS succeeded,
    count(*) FILTER (tasks.status = 'failed') AS failed,
    count(*) FILTER (tasks.status = 'cancelled') AS cancelled,
    count(*) FILTER (tasks.status = 'succeeded')
    / nullif(count(*) FILTER (tasks.status IN ('succeeded', 'failed')), 0)::DOUBLE AS success_rate,
    sum(tasks.attempts)::BIGINT AS attempts,
    count(outcomes.task_id) AS pull_requests,
    count(*) FILTER (outcomes.state = 'merged') AS merged,
    count(*) FILTER (outcomes.state = 'reverted') AS reverted,
    count(*) FILTER (outcomes.state = 'merged')
    / nullif(count(*) FILTER (outcomes.state IN ('merged', 'closed', 'reverted')), 0)::DOUBLE AS merge_rate
FROM tasks
LEFT JOIN outcomes ON outcomes.task_id = tasks.id
GROUP BY tasks.repository;
COMMENT ON VIEW success_by_repository IS 'How well the tasks of each repository went.';
COMMENT ON COLUMN success_by_repository.success_rate IS 'Succeeded among those that succeeded or failed; NULL when there are none.';
COMMENT ON COLUMN success_by_repository.merge_rate IS 'Merged for good among the pull requests that are decided; NULL when there are none.';
