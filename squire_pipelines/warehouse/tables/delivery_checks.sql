CREATE TABLE delivery_checks (
    id BIGINT NOT NULL,
    hook VARCHAR NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    listed BIGINT NOT NULL,
    missing BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    redelivered BIGINT NOT NULL,
    error VARCHAR,
    trace_id VARCHAR NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE delivery_checks IS 'Comparisons of the deliveries that GitHub lists with those that are here.';
COMMENT ON COLUMN delivery_checks.id IS 'Grows with time.';
COMMENT ON COLUMN delivery_checks.hook IS 'The repository whose webhook it is, or app.';
COMMENT ON COLUMN delivery_checks.since IS 'From when on deliveries were compared.';
COMMENT ON COLUMN delivery_checks.listed IS 'How many GitHub listed.';
COMMENT ON COLUMN delivery_checks.missing IS 'How many of them were not here.';
COMMENT ON COLUMN delivery_checks.failed IS 'How many of those GitHub saw end with something else than 2xx.';
COMMENT ON COLUMN delivery_checks.redelivered IS 'How many GitHub was asked to deliver again.';
COMMENT ON COLUMN delivery_checks.error IS 'What is left to do, and why; NULL where nothing is.';
COMMENT ON COLUMN delivery_checks.trace_id IS 'Of the comparison.';
COMMENT ON COLUMN delivery_checks.occurred_at IS 'When, by the ledger''s clock.';
