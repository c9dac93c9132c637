WITH
called AS (
    SELECT
        attempt_id,
        arg_max(model, id) AS model
    FROM model_calls
    WHERE task_id IN (SELECT task_id FROM touched)
    GROUP BY attempt_id
)
SELECT
    attempts.id AS attempt_id,
    attempts.task_id,
    attempts.repository,
    tasks.kind,
    attempts.runner,
    coalesce(attempts.model, called.model) AS model,
    attempts.prompt_version,
    date_trunc('week', make_timestamp(epoch_us(attempts.queued_at)))::DATE AS week,
    attempts.cause,
    coalesce(attempts.cause NOT IN ('completed', 'no_changes', 'cancelled'), FALSE) AS failed,
    attempts.ended_at,
    epoch(attempts.claimed_at) - epoch(attempts.queued_at) AS queue_s,
    (attempts.timings ->> 'image_s')::DOUBLE AS image_s,
    coalesce(
        coalesce((attempts.timings ->> 'create_s')::DOUBLE, 0) + (attempts.timings ->> 'start_s')::DOUBLE,
        epoch(attempts.agent_started_at) - epoch(attempts.claimed_at)
    ) AS container_start_s,
    (attempts.timings ->> 'workspace_in_s')::DOUBLE AS workspace_s,
    (attempts.timings ->> 'first_call_s')::DOUBLE AS first_call_s,
    epoch(attempts.agent_ended_at) - epoch(attempts.agent_started_at) AS agent_s,
    epoch(attempts.ended_at) - epoch(attempts.agent_ended_at) AS after_s,
    attempts.choice ->> 'agent' AS agent_name,
    attempts.choice ->> 'kind' AS agent_kind,
    attempts.choice ->> 'reason' AS chosen_by
FROM attempts
LEFT JOIN tasks ON tasks.id = attempts.task_id
LEFT JOIN called ON called.attempt_id = attempts.id
WHERE attempts.task_id IN (SELECT task_id FROM touched)
ORDER BY attempts.id
