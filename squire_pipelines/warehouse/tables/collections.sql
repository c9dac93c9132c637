CREATE TABLE collections (
    id BIGINT NOT NULL,
    repository VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    signals BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    truncated BOOLEAN NOT NULL,
    error_code VARCHAR,
    error VARCHAR,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ NOT NULL,
    trace_id VARCHAR NOT NULL,
    run_id VARCHAR,
    planned_at TIMESTAMPTZ,
    requests BIGINT,
    quota_cost BIGINT,
    quota_remaining BIGINT,
    updated_at TIMESTAMPTZ NOT NULL,
    looks BIGINT
);
COMMENT ON TABLE collections IS 'Every reading of one source of one repository.';
COMMENT ON COLUMN collections.id IS 'Grows with time.';
COMMENT ON COLUMN collections.repository IS 'owner/name.';
COMMENT ON COLUMN collections.source IS 'What was read: open_prs, failed_ci, open_issues, review_findings, repository_tasks, manual, or a package''s source.';
COMMENT ON COLUMN collections.status IS 'fresh, unchanged, stale (failed, older data kept) or failed.';
COMMENT ON COLUMN collections.signals IS 'How many signals of the source there were afterwards.';
COMMENT ON COLUMN collections.changed IS 'How many of them were new, other than before, or gone.';
COMMENT ON COLUMN collections.truncated IS 'Whether there was more than is read at once.';
COMMENT ON COLUMN collections.error_code IS 'The error''s code, where it failed.';
COMMENT ON COLUMN collections.error IS 'The error in one sentence.';
COMMENT ON COLUMN collections.started_at IS 'When the reading began.';
COMMENT ON COLUMN collections.ended_at IS 'When it ended.';
COMMENT ON COLUMN collections.trace_id IS 'Links it to the delivery, tick or command that asked for it.';
COMMENT ON COLUMN collections.run_id IS 'The Dagster run that made it.';
COMMENT ON COLUMN collections.planned_at IS 'When a plan looked at it.';
COMMENT ON COLUMN collections.requests IS 'Requests to the source that this reading took.';
COMMENT ON COLUMN collections.quota_cost IS 'Points of the source''s quota that it used.';
COMMENT ON COLUMN collections.quota_remaining IS 'Points that were left of the quota afterwards.';
COMMENT ON COLUMN collections.looks IS 'How many cheap looks in a row this unchanged reading stands for; empty for one that was read.';
COMMENT ON COLUMN collections.updated_at IS 'When its row changed last, by the ledger''s clock.';
