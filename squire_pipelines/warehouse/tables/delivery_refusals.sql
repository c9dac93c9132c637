CREATE TABLE delivery_refusals (
    id BIGINT NOT NULL,
    minute TIMESTAMPTZ NOT NULL,
    source VARCHAR NOT NULL,
    status BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    count BIGINT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE delivery_refusals IS 'How many requests the receiver refused in each minute, by status and reason.';
COMMENT ON COLUMN delivery_refusals.id IS 'Grows with time.';
COMMENT ON COLUMN delivery_refusals.minute IS 'The minute''s beginning.';
COMMENT ON COLUMN delivery_refusals.source IS 'github, the sender''s name in the path, or unknown: there is no such sender or path.';
COMMENT ON COLUMN delivery_refusals.status IS 'Of the answer.';
COMMENT ON COLUMN delivery_refusals.reason IS 'Why, in the receiver''s words, which are few.';
COMMENT ON COLUMN delivery_refusals.count IS 'How many.';
COMMENT ON COLUMN delivery_refusals.updated_at IS 'When its row changed last, by the ledger''s clock.';
