CREATE TABLE check_reruns (
    id BIGINT NOT NULL,
    repository VARCHAR NOT NULL,
    head_sha VARCHAR NOT NULL,
    workflow_run BIGINT NOT NULL,
    check_runs JSON NOT NULL,
    checks VARCHAR NOT NULL,
    failure VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    note VARCHAR,
    requested_at TIMESTAMPTZ NOT NULL,
    wait_until TIMESTAMPTZ NOT NULL,
    settled_at TIMESTAMPTZ,
    trace_id VARCHAR NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE check_reruns IS 'Failed checks that were run again before an agent was paid for them.';
COMMENT ON COLUMN check_reruns.id IS 'Grows with time.';
COMMENT ON COLUMN check_reruns.repository IS 'owner/name.';
COMMENT ON COLUMN check_reruns.head_sha IS 'The commit that was checked.';
COMMENT ON COLUMN check_reruns.workflow_run IS 'GitHub''s id of the run of the workflow.';
COMMENT ON COLUMN check_reruns.check_runs IS 'GitHub''s ids of the runs of checks that had failed.';
COMMENT ON COLUMN check_reruns.checks IS 'The names of these checks.';
COMMENT ON COLUMN check_reruns.failure IS 'What they failed of: infrastructure or flaky.';
COMMENT ON COLUMN check_reruns.reason IS 'The rule that says so.';
COMMENT ON COLUMN check_reruns.state IS 'waiting, passed, failed, refused by GitHub, or unknown: it had not ended in time.';
COMMENT ON COLUMN check_reruns.note IS 'What GitHub said when it refused.';
COMMENT ON COLUMN check_reruns.requested_at IS 'When the second run was asked for.';
COMMENT ON COLUMN check_reruns.wait_until IS 'From when on a task is made without its end.';
COMMENT ON COLUMN check_reruns.settled_at IS 'When its end was seen; NULL while it is waited for.';
COMMENT ON COLUMN check_reruns.trace_id IS 'That of the reading which asked for it.';
COMMENT ON COLUMN check_reruns.updated_at IS 'When its row changed last, by the ledger''s clock.';
