CREATE TABLE repository_targets (
    repository VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    allowed DOUBLE NOT NULL,
    seconds DOUBLE
);
COMMENT ON TABLE repository_targets IS 'The targets of each repository in the settings at the time of the publication, of which target_burn_rates and sla_attainment say how they are kept.';
COMMENT ON COLUMN repository_targets.repository IS 'owner/name.';
COMMENT ON COLUMN repository_targets.target IS 'task_failure, container_crash, ready_to_agent or ready_to_pull_request.';
COMMENT ON COLUMN repository_targets.allowed IS 'The share, 0 to 1, that may miss it.';
COMMENT ON COLUMN repository_targets.seconds IS 'The most seconds that it may take; NULL where it is no time.';
