CREATE TABLE deliveries (
    id BIGINT NOT NULL,
    source VARCHAR NOT NULL,
    delivery_id VARCHAR NOT NULL,
    body_sha256 VARCHAR NOT NULL,
    event VARCHAR NOT NULL,
    action VARCHAR,
    repository VARCHAR,
    trace_id VARCHAR NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    requested_at TIMESTAMPTZ,
    tries BIGINT NOT NULL,
    collected_at TIMESTAMPTZ,
    applied_at TIMESTAMPTZ,
    error VARCHAR,
    updated_at TIMESTAMPTZ NOT NULL,
    collected_trace_id VARCHAR,
    sender VARCHAR,
    hook_id VARCHAR,
    filtered_by VARCHAR,
    apply_tries BIGINT NOT NULL,
    set_aside_at TIMESTAMPTZ,
    replays BIGINT NOT NULL,
    replayed_at TIMESTAMPTZ
);
COMMENT ON TABLE deliveries IS 'What asked us to look at a repository, by webhook or by command; without the bodies.';
COMMENT ON COLUMN deliveries.id IS 'Grows with time.';
COMMENT ON COLUMN deliveries.source IS 'github, another sender''s name, or of requests cli, repair or installation.';
COMMENT ON COLUMN deliveries.delivery_id IS 'The sender''s id of it: X-GitHub-Delivery of GitHub''s.';
COMMENT ON COLUMN deliveries.body_sha256 IS 'The hash of the body.';
COMMENT ON COLUMN deliveries.event IS 'What it is about, in the sender''s words: X-GitHub-Event of GitHub''s.';
COMMENT ON COLUMN deliveries.action IS 'The event''s action.';
COMMENT ON COLUMN deliveries.repository IS 'owner/name; NULL where it is about none, or, of another sender''s, about several.';
COMMENT ON COLUMN deliveries.trace_id IS 'Born with the delivery.';
COMMENT ON COLUMN deliveries.received_at IS 'When it was stored.';
COMMENT ON COLUMN deliveries.requested_at IS 'When a collection was asked for last.';
COMMENT ON COLUMN deliveries.tries IS 'How often one was asked for.';
COMMENT ON COLUMN deliveries.collected_at IS 'When the collection was made; at once for irrelevant ones.';
COMMENT ON COLUMN deliveries.applied_at IS 'When it was looked at for an outcome.';
COMMENT ON COLUMN deliveries.error IS 'Why it could not be dealt with.';
COMMENT ON COLUMN deliveries.updated_at IS 'When its row changed last, by the ledger''s clock.';
COMMENT ON COLUMN deliveries.collected_trace_id IS 'The trace of the collection that it asked for: another one''s where several deliveries of a repository were read together; NULL before schema 0037, and where nothing was read for it.';
COMMENT ON COLUMN deliveries.sender IS 'Who did what it is about; NULL before schema 0039.';
COMMENT ON COLUMN deliveries.hook_id IS 'X-GitHub-Hook-ID; NULL of another sender''s.';
COMMENT ON COLUMN deliveries.filtered_by IS 'The rule of the settings that filtered it; NULL where none did.';
COMMENT ON COLUMN deliveries.apply_tries IS 'How often it could not be applied.';
COMMENT ON COLUMN deliveries.set_aside_at IS 'When it was given up, with its error; NULL where it was not.';
COMMENT ON COLUMN deliveries.replays IS 'How often it was replayed, or delivered again after it had failed.';
COMMENT ON COLUMN deliveries.replayed_at IS 'When that was last.';
