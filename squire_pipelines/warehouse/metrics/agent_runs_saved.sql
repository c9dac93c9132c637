CREATE VIEW agent_runs_saved AS
SELECT
    repository,
    failure,
    reason,
    count(*) FILTER (state = 'passed') AS agent_runs_saved,
    count(*) AS reruns,
    count(*) FILTER (state = 'failed') AS failed_again,
    count(*) FILTER (state = 'refused') AS refused,
    max(settled_at) FILTER (state = 'passed') AS last_saved_at
FROM check_reruns
GROUP BY repository, failure, reason;
COMMENT ON VIEW agent_runs_saved IS 'How often a second run of failed checks passed, so that no agent had to be paid, and why it was tried.';
COMMENT ON COLUMN agent_runs_saved.repository IS 'owner/name.';
COMMENT ON COLUMN agent_runs_saved.failure IS 'infrastructure or flaky.';
COMMENT ON COLUMN agent_runs_saved.reason IS 'The rule by which they were taken for it.';
COMMENT ON COLUMN agent_runs_saved.agent_runs_saved IS 'How many second runs passed.';
COMMENT ON COLUMN agent_runs_saved.reruns IS 'How many were asked for.';
COMMENT ON COLUMN agent_runs_saved.failed_again IS 'How many failed, and became work for an agent.';
COMMENT ON COLUMN agent_runs_saved.refused IS 'How many GitHub refused, as for want of a permission.';
COMMENT ON COLUMN agent_runs_saved.last_saved_at IS 'When the newest that passed was seen.';
