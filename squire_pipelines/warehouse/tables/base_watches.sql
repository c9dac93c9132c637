CREATE TABLE base_watches (
    task_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    pr_number BIGINT NOT NULL,
    merge_sha VARCHAR,
    verdict VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    revert_number BIGINT,
    revert_url VARCHAR,
    revert_error VARCHAR,
    trace_id VARCHAR NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE base_watches IS 'What the checks of the base branch said after the merge of each pull request, whoever merged it.';
COMMENT ON COLUMN base_watches.task_id IS 'tasks.id of the task that opened the pull request.';
COMMENT ON COLUMN base_watches.repository IS 'owner/name.';
COMMENT ON COLUMN base_watches.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN base_watches.merge_sha IS 'The commit in the base whose checks were looked at.';
COMMENT ON COLUMN base_watches.verdict IS 'waiting, passed, red_before (what fails failed before the merge, too), elsewhere (it fails where the change touched nothing), broken (by the merge) or unknown.';
COMMENT ON COLUMN base_watches.reason IS 'The failed checks and how that is known, in words.';
COMMENT ON COLUMN base_watches.revert_number IS 'The number of the pull request that takes the merge back, where there is one.';
COMMENT ON COLUMN base_watches.revert_url IS 'Its page.';
COMMENT ON COLUMN base_watches.revert_error IS 'Why GitHub proposed no revert, where Squire asked for one.';
COMMENT ON COLUMN base_watches.trace_id IS 'The task''s.';
COMMENT ON COLUMN base_watches.updated_at IS 'When its row changed last, by the ledger''s clock.';
