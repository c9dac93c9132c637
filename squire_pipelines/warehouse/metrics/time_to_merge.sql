CREATE VIEW time_to_merge AS
SELECT
    outcomes.task_id,
    outcomes.repository,
    outcomes.pr_number,
    outcomes.pr_url,
    outcomes.state AS outcome,
    tasks.created_at AS planned_at,
    outcomes.opened_at,
    outcomes.merged_at,
    -- GitHub tells whole seconds by its own clock: what is merged at once may seem merged before.
    greatest(0, epoch(outcomes.merged_at) - epoch(outcomes.opened_at)) AS seconds_open,
    greatest(0, epoch(outcomes.merged_at) - epoch(tasks.created_at)) AS seconds_since_planned,
    outcomes.trace_id
FROM outcomes
INNER JOIN tasks ON tasks.id = outcomes.task_id
WHERE outcomes.merged_at IS NOT NULL;
COMMENT ON VIEW time_to_merge IS 'One row per merged pull request, reverted ones too.';
COMMENT ON COLUMN time_to_merge.seconds_open IS 'From its opening to its merge.';
COMMENT ON COLUMN time_to_merge.seconds_since_planned IS 'From the plan to the merge.';
