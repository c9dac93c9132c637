CREATE VIEW failure_causes AS
SELECT
    repository,
    cause,
    bool_or(transient) AS transient,
    count(*) AS attempts,
    count(DISTINCT task_id) AS tasks,
    count(*) / sum(count(*)) OVER (PARTITION BY repository)::DOUBLE AS share,
    max(ended_at) AS last_at,
    arg_max(message, ended_at) AS last_message,
    arg_max(id, ended_at) AS last_attempt_id,
    arg_max(trace_id, ended_at) AS last_trace_id
FROM attempts
WHERE status = 'ended' AND cause NOT IN ('completed', 'no_changes', 'cancelled')
GROUP BY repository, cause;
COMMENT ON VIEW failure_causes IS 'Why attempts failed, per repository; what a person cancelled is no failure.';
COMMENT ON COLUMN failure_causes.share IS 'Among the failed attempts of the repository.';
COMMENT ON COLUMN failure_causes.last_message IS 'The newest such attempt''s sentence.';
