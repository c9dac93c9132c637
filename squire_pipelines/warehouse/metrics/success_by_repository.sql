CREATE VIEW success_by_repository AS
SELECT
    repository,
    count(*) AS tasks,
    count(*) FILTER (status IN ('proposed', 'ready', 'running')) AS unfinished,
    count(*) FILTER (status = 'succeeded') AS succeeded,
    count(*) FILTER (status = 'failed') AS failed,
    count(*) FILTER (status = 'cancelled') AS cancelled,
    count(*) FILTER (status = 'succeeded')
    / nullif(count(*) FILTER (status IN ('succeeded', 'failed')), 0)::DOUBLE AS success_rate,
    sum(attempts)::BIGINT AS attempts,
    count(outcome) AS pull_requests,
    count(*) FILTER (outcome = 'merged') AS merged,
    count(*) FILTER (outcome = 'reverted') AS reverted,
    count(*) FILTER (outcome = 'merged')
    / nullif(count(*) FILTER (outcome IN ('merged', 'closed', 'reverted')), 0)::DOUBLE AS merge_rate
FROM task_facts
GROUP BY repository;
COMMENT ON VIEW success_by_repository IS 'How well the tasks of each repository went, from the beginning.';
COMMENT ON COLUMN success_by_repository.repository IS 'owner/name.';
COMMENT ON COLUMN success_by_repository.tasks IS 'How many tasks.';
COMMENT ON COLUMN success_by_repository.succeeded IS 'How many of them succeeded.';
COMMENT ON COLUMN success_by_repository.failed IS 'How many failed.';
COMMENT ON COLUMN success_by_repository.cancelled IS 'How many were cancelled.';
COMMENT ON COLUMN success_by_repository.unfinished IS 'How many are still proposed, ready or running.';
COMMENT ON COLUMN success_by_repository.attempts IS 'How many attempts they took.';
COMMENT ON COLUMN success_by_repository.pull_requests IS 'How many have a pull request.';
COMMENT ON COLUMN success_by_repository.merged IS 'How many of these are merged.';
COMMENT ON COLUMN success_by_repository.reverted IS 'How many were merged and reverted.';
COMMENT ON COLUMN success_by_repository.success_rate IS 'Share, 0 to 1, of those that succeeded among those that succeeded or failed; NULL when there are none.';
COMMENT ON COLUMN success_by_repository.merge_rate IS 'Share, 0 to 1, merged for good among the pull requests that are decided; NULL when there are none.';
