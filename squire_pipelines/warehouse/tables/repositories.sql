CREATE TABLE repositories (
    repository VARCHAR NOT NULL,
    github_id BIGINT,
    name VARCHAR,
    state VARCHAR NOT NULL,
    message VARCHAR,
    looked_at TIMESTAMPTZ,
    read_at TIMESTAMPTZ
);
COMMENT ON TABLE repositories IS 'What the newest look found under each name of the settings, at the time of the publication.';
COMMENT ON COLUMN repositories.repository IS 'owner/name, as the settings have it.';
COMMENT ON COLUMN repositories.github_id IS 'GitHub''s id of the repository that is meant.';
COMMENT ON COLUMN repositories.name IS 'Its present name at GitHub.';
COMMENT ON COLUMN repositories.state IS 'present, renamed, archived, duplicate of another name, replaced by another repository, missing, or forbidden to the token.';
COMMENT ON COLUMN repositories.message IS 'What to do about it; NULL for one that is present.';
COMMENT ON COLUMN repositories.looked_at IS 'When it was looked at last.';
COMMENT ON COLUMN repositories.read_at IS 'When all its sources were read last.';
