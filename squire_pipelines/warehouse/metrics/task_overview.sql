CREATE VIEW task_overview AS
SELECT
    task_id,
    title,
    repository,
    kind,
    status,
    cause,
    attempts,
    model,
    cost_usd,
    ready_at,
    agent_started_at,
    seconds_to_agent,
    pr_url,
    outcome,
    merged_at,
    trace_id
FROM task_facts;
COMMENT ON VIEW task_overview IS 'One row per task with what became of it.';
COMMENT ON COLUMN task_overview.task_id IS 'tasks.id.';
COMMENT ON COLUMN task_overview.title IS 'What is to be done, in one line.';
COMMENT ON COLUMN task_overview.repository IS 'owner/name.';
COMMENT ON COLUMN task_overview.kind IS 'tasks.kind.';
COMMENT ON COLUMN task_overview.status IS 'proposed, ready, running, succeeded, failed or cancelled.';
COMMENT ON COLUMN task_overview.cause IS 'How the last attempt ended, or why there was none.';
COMMENT ON COLUMN task_overview.attempts IS 'How many attempts there were.';
COMMENT ON COLUMN task_overview.model IS 'The model of the last attempt.';
COMMENT ON COLUMN task_overview.cost_usd IS 'US dollars for the calls of its attempts whose price is known.';
COMMENT ON COLUMN task_overview.ready_at IS 'When the task became ready the first time.';
COMMENT ON COLUMN task_overview.agent_started_at IS 'When an agent first started on it.';
COMMENT ON COLUMN task_overview.seconds_to_agent IS 'Seconds to the agent''s first start from the last time that the task became ready before.';
COMMENT ON COLUMN task_overview.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN task_overview.outcome IS 'open, merged, closed or reverted; NULL without a pull request.';
COMMENT ON COLUMN task_overview.merged_at IS 'When it was merged, by GitHub''s clock.';
COMMENT ON COLUMN task_overview.trace_id IS 'Links it to the delivery, tick or command that it began with.';
