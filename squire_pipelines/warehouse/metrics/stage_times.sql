CREATE VIEW stage_times AS
SELECT
    repository,
    week,
    position,
    stage,
    tasks,
    mean_s,
    p50_s,
    p95_s
FROM stage_weeks;
COMMENT ON VIEW stage_times IS 'How long the tasks whose pull request was merged stayed in each stage from the signal to the merge, per repository and week. The means of the stages add up to the mean of the whole.';
COMMENT ON COLUMN stage_times.repository IS 'owner/name.';
COMMENT ON COLUMN stage_times.week IS 'The Monday of the week, in UTC, in which the tasks ended.';
COMMENT ON COLUMN stage_times.position IS 'Counts the stages from 1, in the order in which a task goes through them.';
COMMENT ON COLUMN stage_times.stage IS 'From what to what.';
COMMENT ON COLUMN stage_times.tasks IS 'How many tasks it is known of.';
COMMENT ON COLUMN stage_times.mean_s IS 'Seconds, the mean.';
COMMENT ON COLUMN stage_times.p50_s IS 'Seconds, the median.';
COMMENT ON COLUMN stage_times.p95_s IS 'Seconds that 95 % stay below.';
