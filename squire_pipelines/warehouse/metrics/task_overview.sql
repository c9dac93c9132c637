CREATE VIEW task_overview AS
WITH
first_ready AS (
    SELECT task_id, min(occurred_at) AS ready_at
    FROM task_events
    WHERE subject = 'task' AND after = 'ready'
    GROUP BY task_id
),
first_start AS (
    SELECT task_id, min(agent_started_at) AS agent_started_at
    FROM attempts
    GROUP BY task_id
)
SELECT
    tasks.id AS task_id,
    tasks.title,
    tasks.repository,
    tasks.status,
    tasks.cause,
    tasks.attempts,
    first_ready.ready_at,
    first_start.agent_started_at,
    epoch(first_start.agent_started_at) - epoch(first_ready.ready_at) AS seconds_to_agent,
    outcomes.pr_url,
    outcomes.state AS outcome,
    outcomes.merged_at,
    tasks.trace_id
FROM tasks
LEFT JOIN first_ready ON first_ready.task_id = tasks.id
LEFT JOIN first_start ON first_start.task_id = tasks.id
LEFT JOIN outcomes ON outcomes.task_id = tasks.id;
COMMENT ON VIEW task_overview IS 'One row per task with what became of it.';
COMMENT ON COLUMN task_overview.ready_at IS 'When the task became ready the first time.';
COMMENT ON COLUMN task_overview.agent_started_at IS 'When an agent started on it the first time.';
COMMENT ON COLUMN task_overview.seconds_to_agent IS 'Seconds from the one to the other: waiting, dispatch and start together.';
COMMENT ON COLUMN task_overview.outcome IS 'open, merged, closed or reverted; NULL without a pull request.';
