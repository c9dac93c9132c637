WITH
failed AS (
    SELECT
        repository,
        date_trunc('week', make_timestamp(epoch_us(queued_at)))::DATE AS week,
        id,
        task_id,
        cause,
        transient,
        message,
        trace_id,
        ended_at
    FROM attempts
    WHERE cause IS NOT NULL AND cause NOT IN ('completed', 'no_changes', 'cancelled')
)
SELECT
    repository,
    week,
    cause,
    bool_or(transient) AS transient,
    count(*) AS attempts,
    count(DISTINCT task_id) AS tasks,
    max(ended_at) AS last_at,
    max_by(message, (ended_at, id)) AS last_message,
    max_by(id, (ended_at, id)) AS last_attempt_id,
    max_by(trace_id, (ended_at, id)) AS last_trace_id
FROM failed
WHERE EXISTS (
    FROM touched_weeks WHERE touched_weeks.repository = failed.repository AND touched_weeks.week = failed.week
)
GROUP BY repository, week, cause
ORDER BY week, repository, cause
