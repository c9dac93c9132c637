CREATE TABLE audit (
    id BIGINT NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    actor VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    detail JSON NOT NULL,
    trace_id VARCHAR
);
COMMENT ON TABLE audit IS 'Who did what that matters for security.';
COMMENT ON COLUMN audit.id IS 'Grows with time.';
COMMENT ON COLUMN audit.occurred_at IS 'When.';
COMMENT ON COLUMN audit.actor IS 'Who.';
COMMENT ON COLUMN audit.action IS 'What.';
COMMENT ON COLUMN audit.subject IS 'To what.';
COMMENT ON COLUMN audit.detail IS 'The details.';
COMMENT ON COLUMN audit.trace_id IS 'Links it to what it was part of.';
