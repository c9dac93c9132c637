CREATE TABLE failure_weeks (
    repository VARCHAR NOT NULL,
    week DATE NOT NULL,
    cause VARCHAR NOT NULL,
    transient BOOLEAN,
    attempts BIGINT NOT NULL,
    tasks BIGINT NOT NULL,
    last_at TIMESTAMPTZ,
    last_message VARCHAR,
    last_attempt_id VARCHAR,
    last_trace_id VARCHAR
);
COMMENT ON TABLE failure_weeks IS 'How many attempts of each week failed, by their cause, with the newest of each; derived at publication.';
COMMENT ON COLUMN failure_weeks.repository IS 'owner/name.';
COMMENT ON COLUMN failure_weeks.week IS 'The Monday of the week, in UTC, in which the attempts were dispatched.';
COMMENT ON COLUMN failure_weeks.cause IS 'How they ended.';
COMMENT ON COLUMN failure_weeks.transient IS 'Whether such an attempt is tried again.';
COMMENT ON COLUMN failure_weeks.attempts IS 'How many attempts ended so.';
COMMENT ON COLUMN failure_weeks.tasks IS 'Of how many tasks.';
COMMENT ON COLUMN failure_weeks.last_at IS 'When the newest of them ended.';
COMMENT ON COLUMN failure_weeks.last_message IS 'The newest one''s sentence.';
COMMENT ON COLUMN failure_weeks.last_attempt_id IS 'The newest one''s attempts.id.';
COMMENT ON COLUMN failure_weeks.last_trace_id IS 'The newest one''s trace.';
