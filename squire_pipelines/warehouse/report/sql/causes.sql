SELECT
    cause,
    count(*) AS attempts,
    count(DISTINCT task_id) AS tasks,
    bool_or(transient) AS transient,
    arg_max(message, ended_at) AS last_message
FROM attempts
WHERE
    cause NOT IN ('completed', 'no_changes', 'cancelled')
    AND make_timestamp(epoch_us(ended_at)) >= getvariable('since')
    AND make_timestamp(epoch_us(ended_at)) <= getvariable('until')
GROUP BY cause
ORDER BY attempts DESC, cause
