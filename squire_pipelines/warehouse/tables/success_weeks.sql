CREATE TABLE success_weeks (
    repository VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    model VARCHAR,
    prompt_version VARCHAR,
    week DATE NOT NULL,
    tasks BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    merged BIGINT NOT NULL,
    decided BIGINT NOT NULL,
    cost_usd DOUBLE
);
COMMENT ON TABLE success_weeks IS 'The rows of the view success_rate, derived at publication.';
COMMENT ON COLUMN success_weeks.repository IS 'owner/name.';
COMMENT ON COLUMN success_weeks.kind IS 'tasks.kind.';
COMMENT ON COLUMN success_weeks.model IS 'The model of the last attempt.';
COMMENT ON COLUMN success_weeks.prompt_version IS 'The version of the last attempt''s prompt.';
COMMENT ON COLUMN success_weeks.week IS 'The Monday of the week, in UTC, in which the tasks ended.';
COMMENT ON COLUMN success_weeks.tasks IS 'How many tasks ended.';
COMMENT ON COLUMN success_weeks.succeeded IS 'How many of them succeeded.';
COMMENT ON COLUMN success_weeks.failed IS 'How many failed.';
COMMENT ON COLUMN success_weeks.cancelled IS 'How many were cancelled.';
COMMENT ON COLUMN success_weeks.attempts IS 'How many attempts they took.';
COMMENT ON COLUMN success_weeks.merged IS 'How many pull requests are merged for good.';
COMMENT ON COLUMN success_weeks.decided IS 'How many pull requests are merged, closed or reverted.';
COMMENT ON COLUMN success_weeks.cost_usd IS 'US dollars for the calls of all their attempts whose price is known.';
