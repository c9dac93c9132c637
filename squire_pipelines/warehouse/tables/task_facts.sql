CREATE TABLE task_facts (
    task_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    cause VARCHAR,
    model VARCHAR,
    prompt_version VARCHAR,
    week DATE,
    attempts BIGINT NOT NULL,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cost_usd DOUBLE,
    seen_at TIMESTAMPTZ,
    planned_at TIMESTAMPTZ NOT NULL,
    ready_at TIMESTAMPTZ,
    queued_at TIMESTAMPTZ,
    claimed_at TIMESTAMPTZ,
    agent_started_at TIMESTAMPTZ,
    agent_ended_at TIMESTAMPTZ,
    opened_at TIMESTAMPTZ,
    merged_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    seconds_to_agent DOUBLE,
    startable_at TIMESTAMPTZ,
    agent_wait_s DOUBLE,
    pr_number BIGINT,
    pr_url VARCHAR,
    outcome VARCHAR,
    checks VARCHAR,
    unchanged BOOLEAN,
    trace_id VARCHAR NOT NULL
);
COMMENT ON TABLE task_facts IS 'One row per task, derived from the other tables at publication: where it came from, how it went, and when it reached each stage.';
COMMENT ON COLUMN task_facts.task_id IS 'tasks.id.';
COMMENT ON COLUMN task_facts.repository IS 'owner/name.';
COMMENT ON COLUMN task_facts.kind IS 'tasks.kind.';
COMMENT ON COLUMN task_facts.title IS 'What is to be done, in one line.';
COMMENT ON COLUMN task_facts.status IS 'proposed, ready, running, succeeded, failed or cancelled.';
COMMENT ON COLUMN task_facts.cause IS 'How the last attempt ended, or why there was none.';
COMMENT ON COLUMN task_facts.model IS 'The model of the task''s last attempt; where that has none, of its last call to a model.';
COMMENT ON COLUMN task_facts.prompt_version IS 'The version of the last attempt''s prompt.';
COMMENT ON COLUMN task_facts.week IS 'The Monday of the week, in UTC, in which the task ended; NULL while it has not.';
COMMENT ON COLUMN task_facts.attempts IS 'How many attempts there were.';
COMMENT ON COLUMN task_facts.input_tokens IS 'Tokens that the models of all its attempts read.';
COMMENT ON COLUMN task_facts.output_tokens IS 'Tokens that they wrote.';
COMMENT ON COLUMN task_facts.cost_usd IS 'US dollars for the calls of all its attempts whose price is known.';
COMMENT ON COLUMN task_facts.seen_at IS 'When the first of the signals that it answers was seen; NULL when it answers none.';
COMMENT ON COLUMN task_facts.planned_at IS 'When it was planned.';
COMMENT ON COLUMN task_facts.ready_at IS 'When it became ready the first time.';
COMMENT ON COLUMN task_facts.queued_at IS 'When its first attempt was dispatched.';
COMMENT ON COLUMN task_facts.claimed_at IS 'When a run first claimed one of its attempts.';
COMMENT ON COLUMN task_facts.agent_started_at IS 'When an agent first started on it.';
COMMENT ON COLUMN task_facts.agent_ended_at IS 'When an agent last ended on it.';
COMMENT ON COLUMN task_facts.opened_at IS 'When its pull request was opened.';
COMMENT ON COLUMN task_facts.merged_at IS 'When it was merged, by GitHub''s clock.';
COMMENT ON COLUMN task_facts.ended_at IS 'When it succeeded, failed or was cancelled.';
COMMENT ON COLUMN task_facts.seconds_to_agent IS 'Seconds to the agent''s first start from the last time that the task became ready before: a wait before a retry is not a slow start.';
COMMENT ON COLUMN task_facts.startable_at IS 'Since when none of Squire''s own rules held it before its first attempt; NULL where it has none, or from before schema 0040.';
COMMENT ON COLUMN task_facts.agent_wait_s IS 'Seconds to the agent''s first start since none of Squire''s own rules held the task: what ready_to_agent measures.';
COMMENT ON COLUMN task_facts.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN task_facts.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN task_facts.outcome IS 'open, merged, closed or reverted; NULL without a pull request.';
COMMENT ON COLUMN task_facts.checks IS 'pending, passed, failed or none, for the pull request''s newest commit.';
COMMENT ON COLUMN task_facts.unchanged IS 'Whether the merged commit is the one that the last attempt pushed; NULL when nothing was merged.';
COMMENT ON COLUMN task_facts.trace_id IS 'Links the task to the delivery, tick or command that it began with.';
