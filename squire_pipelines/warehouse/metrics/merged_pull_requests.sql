CREATE VIEW merged_pull_requests AS
SELECT
    outcomes.task_id,
    outcomes.repository,
    outcomes.pr_number,
    outcomes.pr_url,
    outcomes.merged_at,
    coalesce(merges.progress = 'merged', FALSE) AS by_squire,
    CASE WHEN merges.progress = 'merged' THEN merges.way END AS way,
    CASE WHEN merges.progress = 'merged' THEN merges.method END AS method,
    CASE WHEN merges.progress = 'merged' THEN merges.head_sha ELSE outcomes.head_sha END AS head_sha,
    coalesce(base_watches.merge_sha, outcomes.merge_sha) AS merge_sha,
    outcomes.ended_by,
    base_watches.verdict AS base_verdict,
    base_watches.reason AS base_reason,
    coalesce(base_watches.verdict = 'broken', FALSE) AS broke_base,
    base_watches.revert_number,
    base_watches.revert_url,
    outcomes.state = 'reverted' AS is_reverted,
    outcomes.ending,
    outcomes.trace_id
FROM outcomes
LEFT JOIN merges ON merges.task_id = outcomes.task_id
LEFT JOIN base_watches ON base_watches.task_id = outcomes.task_id
WHERE outcomes.state IN ('merged', 'reverted');
COMMENT ON VIEW merged_pull_requests IS 'One row per merged pull request of ours: whether Squire merged it, by which way and at which head, and what broke after it.';
COMMENT ON COLUMN merged_pull_requests.task_id IS 'tasks.id of the task that opened it.';
COMMENT ON COLUMN merged_pull_requests.repository IS 'owner/name.';
COMMENT ON COLUMN merged_pull_requests.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN merged_pull_requests.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN merged_pull_requests.merged_at IS 'When it was merged, by GitHub''s clock.';
COMMENT ON COLUMN merged_pull_requests.by_squire IS 'Whether it was merged as Squire asked GitHub; else a person or another bot did it.';
COMMENT ON COLUMN merged_pull_requests.way IS 'By which way Squire had it merged: direct, auto_merge or merge_queue.';
COMMENT ON COLUMN merged_pull_requests.method IS 'squash, merge or rebase, of those that Squire merged.';
COMMENT ON COLUMN merged_pull_requests.head_sha IS 'The head that was merged: of Squire''s own merges the one that was judged, of others the last that is known.';
COMMENT ON COLUMN merged_pull_requests.merge_sha IS 'The commit in the base as which it was merged.';
COMMENT ON COLUMN merged_pull_requests.ended_by IS 'The login of who merged it, by GitHub.';
COMMENT ON COLUMN merged_pull_requests.base_verdict IS 'base_watches.verdict: what the base branch''s checks said after it; NULL where nobody looked.';
COMMENT ON COLUMN merged_pull_requests.base_reason IS 'base_watches.reason: what failed, and to what it is attributed, in words.';
COMMENT ON COLUMN merged_pull_requests.broke_base IS 'Whether a check failed on it that had passed before it, and nothing speaks for another cause.';
COMMENT ON COLUMN merged_pull_requests.revert_number IS 'The number of the pull request that takes it back, where there is one.';
COMMENT ON COLUMN merged_pull_requests.revert_url IS 'Its page.';
COMMENT ON COLUMN merged_pull_requests.is_reverted IS 'Whether it was taken back.';
COMMENT ON COLUMN merged_pull_requests.ending IS 'outcomes.ending.';
COMMENT ON COLUMN merged_pull_requests.trace_id IS 'The task''s.';
