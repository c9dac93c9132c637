CREATE TABLE targets (
    name VARCHAR NOT NULL,
    seconds DOUBLE NOT NULL,
    share DOUBLE NOT NULL,
    description VARCHAR NOT NULL
);
COMMENT ON TABLE targets IS 'The targets in the settings at the time of the publication, one row for each.';
COMMENT ON COLUMN targets.name IS 'ready_to_agent or ready_to_pull_request.';
COMMENT ON COLUMN targets.seconds IS 'The most seconds that it may take.';
COMMENT ON COLUMN targets.share IS 'The share of the tasks, 0 to 1, that should meet it.';
COMMENT ON COLUMN targets.description IS 'What the target means.';
