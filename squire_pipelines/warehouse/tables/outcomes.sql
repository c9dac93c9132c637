CREATE TABLE outcomes (
    task_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    pr_number BIGINT NOT NULL,
    pr_url VARCHAR NOT NULL,
    head_sha VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    checks VARCHAR,
    trace_id VARCHAR NOT NULL,
    opened_at TIMESTAMPTZ NOT NULL,
    merged_at TIMESTAMPTZ,
    closed_at TIMESTAMPTZ,
    forge_updated_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    polled_at TIMESTAMPTZ,
    review_state VARCHAR,
    follow_state VARCHAR,
    follow_reason VARCHAR,
    follow_since TIMESTAMPTZ,
    mergeability VARCHAR,
    review_decision VARCHAR,
    ending VARCHAR,
    ending_reason VARCHAR,
    ended_by VARCHAR,
    ended_by_pr BIGINT,
    merge_sha VARCHAR,
    people_commits BIGINT,
    people_added BIGINT,
    people_removed BIGINT,
    expired_at TIMESTAMPTZ,
    expired_reason VARCHAR,
    reviewed_at TIMESTAMPTZ,
    reviews BIGINT
);
COMMENT ON TABLE outcomes IS 'What became of each task''s pull request.';
COMMENT ON COLUMN outcomes.task_id IS 'tasks.id.';
COMMENT ON COLUMN outcomes.repository IS 'owner/name.';
COMMENT ON COLUMN outcomes.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN outcomes.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN outcomes.head_sha IS 'Its newest commit.';
COMMENT ON COLUMN outcomes.state IS 'open, merged, closed or reverted.';
COMMENT ON COLUMN outcomes.checks IS 'pending, passed, failed or none, for the newest commit.';
COMMENT ON COLUMN outcomes.trace_id IS 'The task''s.';
COMMENT ON COLUMN outcomes.opened_at IS 'When we opened it, by the ledger''s clock.';
COMMENT ON COLUMN outcomes.merged_at IS 'When it was merged, by GitHub''s clock.';
COMMENT ON COLUMN outcomes.closed_at IS 'When it was closed, by GitHub''s clock.';
COMMENT ON COLUMN outcomes.forge_updated_at IS 'GitHub''s updated_at of the report that we know it by.';
COMMENT ON COLUMN outcomes.updated_at IS 'When its row changed last.';
COMMENT ON COLUMN outcomes.polled_at IS 'When we asked GitHub about it last.';
COMMENT ON COLUMN outcomes.review_state IS 'none, needs_approval, approved or rejected; NULL when nobody said.';
COMMENT ON COLUMN outcomes.follow_state IS 'What it waits for or how it ended: waiting_for_ci, fixing, waiting_for_review, answering, updating, waiting_for_merge, handed_over, merged, landed_elsewhere, closed or reverted.';
COMMENT ON COLUMN outcomes.follow_reason IS 'What it waits for, in words.';
COMMENT ON COLUMN outcomes.follow_since IS 'Since when it waits for that.';
COMMENT ON COLUMN outcomes.mergeability IS 'mergeable, behind, conflicting or unknown, by GitHub.';
COMMENT ON COLUMN outcomes.review_decision IS 'none, review_required, approved or changes_requested, by GitHub.';
COMMENT ON COLUMN outcomes.ending IS 'How it ended: merged_unchanged, merged_changed, landed_elsewhere, superseded, closed_by_person, closed_by_bot, closed_with_branch, stale, reverted or unknown; NULL while it is open or nobody has found out.';
COMMENT ON COLUMN outcomes.ending_reason IS 'How that is known, in words.';
COMMENT ON COLUMN outcomes.ended_by IS 'The login of who merged or closed it.';
COMMENT ON COLUMN outcomes.ended_by_pr IS 'The number of the pull request that superseded it or took it back.';
COMMENT ON COLUMN outcomes.merge_sha IS 'The commit in the base as which it was merged.';
COMMENT ON COLUMN outcomes.people_commits IS 'How many commits of others were merged with it, without merges; NULL where they cannot be counted.';
COMMENT ON COLUMN outcomes.people_added IS 'How many lines these added.';
COMMENT ON COLUMN outcomes.people_removed IS 'How many lines these removed.';
COMMENT ON COLUMN outcomes.expired_at IS 'When Squire set about closing it, since nothing happened on it.';
COMMENT ON COLUMN outcomes.expired_reason IS 'Why it did, in words.';
COMMENT ON COLUMN outcomes.reviewed_at IS 'When the first review of somebody else was submitted; NULL until it has ended.';
COMMENT ON COLUMN outcomes.reviews IS 'How many reviews of others there were, at most 100; NULL until it has ended.';
