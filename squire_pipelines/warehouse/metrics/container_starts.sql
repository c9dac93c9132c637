CREATE VIEW container_starts AS
SELECT
    repository,
    runner,
    week,
    attempts,
    p50_s,
    p95_s,
    max_s,
    mean_image_s,
    mean_workspace_s,
    mean_first_call_s
FROM container_weeks;
COMMENT ON VIEW container_starts IS 'How long the containers of agents took to start, per repository, runner and week.';
COMMENT ON COLUMN container_starts.repository IS 'owner/name.';
COMMENT ON COLUMN container_starts.runner IS 'docker or local.';
COMMENT ON COLUMN container_starts.week IS 'The Monday of the week, in UTC, in which the attempts were dispatched.';
COMMENT ON COLUMN container_starts.attempts IS 'How many attempts started.';
COMMENT ON COLUMN container_starts.p50_s IS 'Seconds to create and start, the median.';
COMMENT ON COLUMN container_starts.p95_s IS 'Seconds that 95 % stay below.';
COMMENT ON COLUMN container_starts.max_s IS 'Seconds of the slowest.';
COMMENT ON COLUMN container_starts.mean_image_s IS 'Seconds for the image, the mean.';
COMMENT ON COLUMN container_starts.mean_workspace_s IS 'Seconds to clone the repository into the container, the mean.';
COMMENT ON COLUMN container_starts.mean_first_call_s IS 'Seconds from the agent''s start to its first call to a model, the mean.';
