CREATE VIEW failure_causes AS
SELECT
    repository,
    cause,
    bool_or(transient) AS transient,
    sum(attempts)::BIGINT AS attempts,
    sum(tasks)::BIGINT AS tasks,
    sum(attempts) / sum(sum(attempts)) OVER (PARTITION BY repository)::DOUBLE AS share,
    max(last_at) AS last_at,
    max_by(last_message, last_at) AS last_message,
    max_by(last_attempt_id, last_at) AS last_attempt_id,
    max_by(last_trace_id, last_at) AS last_trace_id
FROM failure_weeks
GROUP BY repository, cause;
COMMENT ON VIEW failure_causes IS 'Why attempts failed, per repository; a cancellation by a person is no failure. failure_weeks has them by week.';
COMMENT ON COLUMN failure_causes.repository IS 'owner/name.';
COMMENT ON COLUMN failure_causes.cause IS 'How they ended.';
COMMENT ON COLUMN failure_causes.transient IS 'Whether such an attempt is tried again.';
COMMENT ON COLUMN failure_causes.attempts IS 'How many attempts ended so.';
COMMENT ON COLUMN failure_causes.tasks IS 'Of how many tasks; one that failed so in two weeks counts twice.';
COMMENT ON COLUMN failure_causes.last_at IS 'When the newest of them ended.';
COMMENT ON COLUMN failure_causes.last_message IS 'The newest one''s sentence.';
COMMENT ON COLUMN failure_causes.last_attempt_id IS 'The newest one''s attempts.id.';
COMMENT ON COLUMN failure_causes.last_trace_id IS 'The newest one''s trace.';
COMMENT ON COLUMN failure_causes.share IS 'Share, 0 to 1, among the failed attempts of the repository.';
