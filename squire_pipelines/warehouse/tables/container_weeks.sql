CREATE TABLE container_weeks (
    repository VARCHAR NOT NULL,
    runner VARCHAR,
    week DATE NOT NULL,
    attempts BIGINT NOT NULL,
    p50_s DOUBLE NOT NULL,
    p95_s DOUBLE NOT NULL,
    max_s DOUBLE NOT NULL,
    mean_image_s DOUBLE,
    mean_workspace_s DOUBLE,
    mean_first_call_s DOUBLE
);
COMMENT ON TABLE container_weeks IS 'The rows of the view container_starts, derived at publication.';
COMMENT ON COLUMN container_weeks.repository IS 'owner/name.';
COMMENT ON COLUMN container_weeks.runner IS 'docker or local.';
COMMENT ON COLUMN container_weeks.week IS 'The Monday of the week, in UTC, in which the attempts were dispatched.';
COMMENT ON COLUMN container_weeks.attempts IS 'How many attempts started.';
COMMENT ON COLUMN container_weeks.p50_s IS 'Seconds to create and start, the median.';
COMMENT ON COLUMN container_weeks.p95_s IS 'Seconds that 95 % stay below.';
COMMENT ON COLUMN container_weeks.max_s IS 'Seconds of the slowest.';
COMMENT ON COLUMN container_weeks.mean_image_s IS 'Seconds for the image, the mean.';
COMMENT ON COLUMN container_weeks.mean_workspace_s IS 'Seconds to clone the repository into the container, the mean.';
COMMENT ON COLUMN container_weeks.mean_first_call_s IS 'Seconds from the agent''s start to its first call to a model, the mean.';
