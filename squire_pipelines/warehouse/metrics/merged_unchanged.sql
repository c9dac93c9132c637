CREATE VIEW merged_unchanged AS
SELECT
    repository,
    kind,
    model,
    week,
    count(*) AS merged,
    count(*) FILTER (unchanged) AS unchanged,
    count(*) FILTER (unchanged) / nullif(count(unchanged), 0)::DOUBLE AS share
FROM task_facts
WHERE merged_at IS NOT NULL
GROUP BY repository, kind, model, week;
COMMENT ON VIEW merged_unchanged IS 'How many pull requests were merged as the agent left them: no commit of others was merged with them.';
COMMENT ON COLUMN merged_unchanged.repository IS 'owner/name.';
COMMENT ON COLUMN merged_unchanged.kind IS 'tasks.kind.';
COMMENT ON COLUMN merged_unchanged.model IS 'The model of the last attempt.';
COMMENT ON COLUMN merged_unchanged.week IS 'The Monday of the week, in UTC, in which the task ended.';
COMMENT ON COLUMN merged_unchanged.merged IS 'How many were merged, reverted ones too.';
COMMENT ON COLUMN merged_unchanged.unchanged IS 'How many of them without a commit of others.';
COMMENT ON COLUMN merged_unchanged.share IS 'Share, 0 to 1, of those where both commits are known.';
