CREATE TABLE tasks (
    id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    priority BIGINT NOT NULL,
    fingerprint VARCHAR NOT NULL,
    spec JSON NOT NULL,
    branch VARCHAR NOT NULL,
    base_branch VARCHAR NOT NULL,
    plan_id VARCHAR,
    attempts BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    not_before TIMESTAMPTZ,
    cancel_requested_at TIMESTAMPTZ,
    cause VARCHAR,
    message VARCHAR,
    trace_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    ready_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL,
    schedule_id VARCHAR
);
COMMENT ON TABLE tasks IS 'One piece of work per row, as it stands now.';
COMMENT ON COLUMN tasks.id IS 'The task''s id; sorts by time of creation.';
COMMENT ON COLUMN tasks.repository IS 'owner/name.';
COMMENT ON COLUMN tasks.status IS 'proposed, ready, running, succeeded, failed or cancelled.';
COMMENT ON COLUMN tasks.kind IS 'fix_ci, address_review, resolve_issue, manual or other.';
COMMENT ON COLUMN tasks.title IS 'What is to be done, in one line.';
COMMENT ON COLUMN tasks.priority IS '0 critical, 1 high, 2 medium, 3 low.';
COMMENT ON COLUMN tasks.fingerprint IS 'Equal for tasks that answer the same facts.';
COMMENT ON COLUMN tasks.spec IS 'The whole task as its planner proposed it and as the agent gets it.';
COMMENT ON COLUMN tasks.branch IS 'The branch that the work is pushed to, the same at every attempt.';
COMMENT ON COLUMN tasks.base_branch IS 'The branch that the pull request goes into.';
COMMENT ON COLUMN tasks.plan_id IS 'plans.id of the plan that it came from.';
COMMENT ON COLUMN tasks.attempts IS 'How many attempts there were so far.';
COMMENT ON COLUMN tasks.max_attempts IS 'How many there may be.';
COMMENT ON COLUMN tasks.not_before IS 'A retry does not start before this moment.';
COMMENT ON COLUMN tasks.cancel_requested_at IS 'When a person asked for a running task to be cancelled.';
COMMENT ON COLUMN tasks.cause IS 'How the last attempt ended, or why there was none.';
COMMENT ON COLUMN tasks.message IS 'The cause in one sentence.';
COMMENT ON COLUMN tasks.trace_id IS 'Links the task to the delivery, tick or command that it began with.';
COMMENT ON COLUMN tasks.created_at IS 'When it was planned.';
COMMENT ON COLUMN tasks.ready_at IS 'When it became ready the last time; task_overview.ready_at has the first.';
COMMENT ON COLUMN tasks.ended_at IS 'When it succeeded, failed or was cancelled.';
COMMENT ON COLUMN tasks.updated_at IS 'When its row changed last.';
COMMENT ON COLUMN tasks.schedule_id IS 'The schedule that made it; squire schedules show has it.';
