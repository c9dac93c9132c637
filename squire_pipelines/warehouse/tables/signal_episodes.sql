CREATE TABLE signal_episodes (
    id BIGINT NOT NULL,
    repository VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    version VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    branch VARCHAR,
    on_default_branch BOOLEAN,
    pull_request BIGINT,
    waits_for VARCHAR,
    opened_at TIMESTAMPTZ NOT NULL,
    closed_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE signal_episodes IS 'The time from each fact''s opening to its end; a fact that returned has several.';
COMMENT ON COLUMN signal_episodes.id IS 'Grows with time.';
COMMENT ON COLUMN signal_episodes.repository IS 'owner/name.';
COMMENT ON COLUMN signal_episodes.kind IS 'The kind of its signal.';
COMMENT ON COLUMN signal_episodes.key IS 'The signal''s name among those of its kind in the repository.';
COMMENT ON COLUMN signal_episodes.number IS '1 for the first episode of the signal, 2 for the next; counted within what the ledger keeps.';
COMMENT ON COLUMN signal_episodes.version IS 'The signal''s last version in it.';
COMMENT ON COLUMN signal_episodes.title IS 'The fact in one line.';
COMMENT ON COLUMN signal_episodes.url IS 'Its page on GitHub.';
COMMENT ON COLUMN signal_episodes.branch IS 'The branch that it is about.';
COMMENT ON COLUMN signal_episodes.on_default_branch IS 'Whether a failed check is of the default branch.';
COMMENT ON COLUMN signal_episodes.pull_request IS 'The number of the pull request that it is about.';
COMMENT ON COLUMN signal_episodes.waits_for IS 'Whose turn it was last; NULL for nobody in particular.';
COMMENT ON COLUMN signal_episodes.opened_at IS 'When it was seen first.';
COMMENT ON COLUMN signal_episodes.closed_at IS 'When it had gone; NULL while it is there.';
COMMENT ON COLUMN signal_episodes.updated_at IS 'When its row changed last, by the ledger''s clock.';
