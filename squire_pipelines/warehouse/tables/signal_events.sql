CREATE TABLE signal_events (
    id BIGINT NOT NULL,
    episode_id BIGINT NOT NULL,
    change VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    waits_for VARCHAR,
    trace_id VARCHAR NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE signal_events IS 'What happened to each episode of a signal.';
COMMENT ON COLUMN signal_events.id IS 'Grows with time.';
COMMENT ON COLUMN signal_events.episode_id IS 'signal_episodes.id.';
COMMENT ON COLUMN signal_events.change IS 'opened, changed, gone or reopened, which opens a further episode.';
COMMENT ON COLUMN signal_events.version IS 'The signal''s version from then on.';
COMMENT ON COLUMN signal_events.waits_for IS 'Whose turn it was from then on; NULL for nobody in particular.';
COMMENT ON COLUMN signal_events.trace_id IS 'That of the reading which saw it.';
COMMENT ON COLUMN signal_events.occurred_at IS 'When, by the ledger''s clock.';
