CREATE TABLE signals (
    id BIGINT NOT NULL,
    repository VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    signal JSON NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    gone_at TIMESTAMPTZ,
    decision JSON,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE signals IS 'Every fact that was seen in a repository, gone ones too.';
COMMENT ON COLUMN signals.id IS 'The row''s number.';
COMMENT ON COLUMN signals.repository IS 'owner/name.';
COMMENT ON COLUMN signals.kind IS 'open_pr, failed_ci, open_issue, review_finding, manual_task or plugin_fact.';
COMMENT ON COLUMN signals.key IS 'Its name among those of its kind in the repository.';
COMMENT ON COLUMN signals.version IS 'Changes when the fact does.';
COMMENT ON COLUMN signals.title IS 'The fact in one line.';
COMMENT ON COLUMN signals.url IS 'Its page on GitHub.';
COMMENT ON COLUMN signals.signal IS 'The whole signal.';
COMMENT ON COLUMN signals.first_seen_at IS 'When it was seen first.';
COMMENT ON COLUMN signals.last_seen_at IS 'When it was seen last.';
COMMENT ON COLUMN signals.gone_at IS 'When it had gone; NULL while it is there.';
COMMENT ON COLUMN signals.decision IS 'What a person decided about it by command.';
COMMENT ON COLUMN signals.updated_at IS 'When its row changed last, by the ledger''s clock.';
