CREATE TABLE delivery_effects (
    id BIGINT NOT NULL,
    delivery BIGINT NOT NULL,
    effect VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    detail VARCHAR,
    trace_id VARCHAR NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE delivery_effects IS 'What deliveries did; each once for each delivery.';
COMMENT ON COLUMN delivery_effects.id IS 'Grows with time.';
COMMENT ON COLUMN delivery_effects.delivery IS 'deliveries.id.';
COMMENT ON COLUMN delivery_effects.effect IS 'What was done: collected, outcome, checks, review, revert, base_moved, command, label, dashboard, repository, installation, ping, access, reaction or signal.';
COMMENT ON COLUMN delivery_effects.subject IS 'To what: a repository, a pull request, an issue, a branch, an account or a fact.';
COMMENT ON COLUMN delivery_effects.detail IS 'More about it.';
COMMENT ON COLUMN delivery_effects.trace_id IS 'The trace in which it was done.';
COMMENT ON COLUMN delivery_effects.occurred_at IS 'When, by the ledger''s clock.';
