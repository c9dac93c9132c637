CREATE TABLE stage_weeks (
    repository VARCHAR NOT NULL,
    week DATE NOT NULL,
    position BIGINT NOT NULL,
    stage VARCHAR NOT NULL,
    tasks BIGINT NOT NULL,
    mean_s DOUBLE NOT NULL,
    p50_s DOUBLE NOT NULL,
    p95_s DOUBLE NOT NULL
);
COMMENT ON TABLE stage_weeks IS 'The rows of the view stage_times, derived at publication.';
COMMENT ON COLUMN stage_weeks.repository IS 'owner/name.';
COMMENT ON COLUMN stage_weeks.week IS 'The Monday of the week, in UTC, in which the tasks ended.';
COMMENT ON COLUMN stage_weeks.position IS 'Counts the stages from 1, in the order in which a task goes through them.';
COMMENT ON COLUMN stage_weeks.stage IS 'From what to what.';
COMMENT ON COLUMN stage_weeks.tasks IS 'How many tasks it is known of.';
COMMENT ON COLUMN stage_weeks.mean_s IS 'Seconds, the mean.';
COMMENT ON COLUMN stage_weeks.p50_s IS 'Seconds, the median.';
COMMENT ON COLUMN stage_weeks.p95_s IS 'Seconds that 95 % stay below.';
