CREATE VIEW cost_per_merged_pr AS
WITH
planning AS (
    SELECT
        repository,
        date_trunc('month', make_timestamp(epoch_us(occurred_at)))::DATE AS month,
        sum(cost_usd) AS cost_usd
    FROM model_calls
    WHERE attempt_id IS NULL AND repository IS NOT NULL
    GROUP BY repository, month
),
working AS (
    SELECT
        repository,
        date_trunc('month', make_timestamp(epoch_us(ended_at)))::DATE AS month,
        count(*) AS tasks,
        count(*) FILTER (outcome = 'merged') AS merged,
        sum(cost_usd) AS cost_usd
    FROM task_facts
    WHERE ended_at IS NOT NULL
    GROUP BY repository, month
)
SELECT
    repository,
    month,
    coalesce(working.tasks, 0) AS tasks,
    coalesce(working.merged, 0) AS merged,
    working.cost_usd AS agents_usd,
    planning.cost_usd AS planning_usd,
    coalesce(working.cost_usd, 0) + coalesce(planning.cost_usd, 0) AS cost_usd,
    (coalesce(working.cost_usd, 0) + coalesce(planning.cost_usd, 0)) / nullif(working.merged, 0) AS usd_per_merged
FROM working
FULL JOIN planning USING (repository, month);
COMMENT ON VIEW cost_per_merged_pr IS 'What a merged pull request costs: all calls to models, those of failed tasks and of planning too, by the merged pull requests.';
COMMENT ON COLUMN cost_per_merged_pr.repository IS 'owner/name.';
COMMENT ON COLUMN cost_per_merged_pr.month IS 'The first day of the month, in UTC, in which the tasks ended and the plans were made.';
COMMENT ON COLUMN cost_per_merged_pr.tasks IS 'How many tasks ended.';
COMMENT ON COLUMN cost_per_merged_pr.merged IS 'How many of them have a pull request that is merged for good.';
COMMENT ON COLUMN cost_per_merged_pr.agents_usd IS 'US dollars of these tasks'' agents, where the price is known.';
COMMENT ON COLUMN cost_per_merged_pr.planning_usd IS 'US dollars for planning, where the price is known.';
COMMENT ON COLUMN cost_per_merged_pr.cost_usd IS 'US dollars of both.';
COMMENT ON COLUMN cost_per_merged_pr.usd_per_merged IS 'US dollars for each merged pull request; NULL when none is merged.';
