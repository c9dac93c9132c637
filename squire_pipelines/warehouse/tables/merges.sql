CREATE TABLE merges (
    task_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    pr_number BIGINT NOT NULL,
    progress VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    way VARCHAR,
    method VARCHAR,
    head_sha VARCHAR,
    asked_at TIMESTAMPTZ,
    refusals BIGINT,
    trace_id VARCHAR NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE merges IS 'How far Squire''s own merge of each pull request has come, where it merges.';
COMMENT ON COLUMN merges.task_id IS 'tasks.id of the task that opened the pull request.';
COMMENT ON COLUMN merges.repository IS 'owner/name.';
COMMENT ON COLUMN merges.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN merges.progress IS 'waiting, requested, armed (GitHub''s auto-merge or merge queue has it), refused, taken_back or merged.';
COMMENT ON COLUMN merges.reason IS 'What it waits for, or why it ended, in words.';
COMMENT ON COLUMN merges.way IS 'By which way GitHub was asked last: direct, auto_merge or merge_queue; NULL where it was not asked.';
COMMENT ON COLUMN merges.method IS 'squash, merge or rebase.';
COMMENT ON COLUMN merges.head_sha IS 'The head that was judged, which alone GitHub was asked to merge.';
COMMENT ON COLUMN merges.asked_at IS 'When GitHub was asked last.';
COMMENT ON COLUMN merges.refusals IS 'How often GitHub refused it at this head.';
COMMENT ON COLUMN merges.trace_id IS 'The task''s.';
COMMENT ON COLUMN merges.updated_at IS 'When its row changed last, by the ledger''s clock.';
