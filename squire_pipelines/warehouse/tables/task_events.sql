CREATE TABLE task_events (
    id BIGINT NOT NULL,
    task_id VARCHAR NOT NULL,
    attempt_id VARCHAR,
    subject VARCHAR NOT NULL,
    before VARCHAR,
    after VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    trace_id VARCHAR NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE task_events IS 'Every change of a task''s, an attempt''s or a pull request''s state.';
COMMENT ON COLUMN task_events.id IS 'Grows with time.';
COMMENT ON COLUMN task_events.task_id IS 'tasks.id.';
COMMENT ON COLUMN task_events.attempt_id IS 'attempts.id, where an attempt changed.';
COMMENT ON COLUMN task_events.subject IS 'What changed: task, attempt, outcome, checks, review, or queue (what a person said of its place).';
COMMENT ON COLUMN task_events.before IS 'The state before; NULL for a new one.';
COMMENT ON COLUMN task_events.after IS 'The state after.';
COMMENT ON COLUMN task_events.actor IS 'Who did it.';
COMMENT ON COLUMN task_events.reason IS 'Why.';
COMMENT ON COLUMN task_events.trace_id IS 'The task''s.';
COMMENT ON COLUMN task_events.occurred_at IS 'When, by the ledger''s clock.';
