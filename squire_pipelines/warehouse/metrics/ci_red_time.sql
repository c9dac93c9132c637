CREATE VIEW ci_red_time AS
WITH
red AS (
    SELECT
        repository,
        branch,
        coalesce(on_default_branch, FALSE) AS on_default_branch,
        opened_at AS began_at,
        coalesce(closed_at, (SELECT published_at FROM _publication)) AS ended_at,
        closed_at IS NULL AS lasts
    FROM signal_episodes
    WHERE kind = 'failed_ci'
),
-- Several checks may be red at once: the branch turns red where none of those before lasted until then.
marked AS (
    SELECT
        *,
        coalesce(began_at > max(ended_at) OVER (
            PARTITION BY repository, branch, on_default_branch
            ORDER BY began_at, ended_at
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), TRUE) AS is_new
    FROM red
),
numbered AS (
    SELECT
        *,
        sum(is_new::BIGINT) OVER (
            PARTITION BY repository, branch, on_default_branch
            ORDER BY began_at, ended_at
            ROWS UNBOUNDED PRECEDING
        ) AS number
    FROM marked
),
times AS (
    SELECT
        repository,
        branch,
        on_default_branch,
        min(began_at) AS began_at,
        max(ended_at) AS ended_at,
        bool_or(lasts) AS lasts,
        count(*) AS checks
    FROM numbered
    GROUP BY repository, branch, on_default_branch, number
)
SELECT
    repository,
    branch,
    on_default_branch,
    count(*) AS episodes,
    sum(checks)::BIGINT AS checks,
    bool_or(lasts) AS red_now,
    min(began_at) AS first_at,
    max(ended_at) AS last_at,
    sum(epoch(ended_at) - epoch(began_at)) AS red_s,
    max(epoch(ended_at) - epoch(began_at)) AS longest_s
FROM times
GROUP BY repository, branch, on_default_branch;
COMMENT ON VIEW ci_red_time IS 'How long the checks of each branch were red: from the first sight of a failure until the last one was gone.';
COMMENT ON COLUMN ci_red_time.repository IS 'owner/name.';
COMMENT ON COLUMN ci_red_time.branch IS 'The branch whose head failed.';
COMMENT ON COLUMN ci_red_time.on_default_branch IS 'Whether it is the default branch; else a pull request.';
COMMENT ON COLUMN ci_red_time.episodes IS 'How often it turned red.';
COMMENT ON COLUMN ci_red_time.checks IS 'How many failures were seen.';
COMMENT ON COLUMN ci_red_time.red_now IS 'Whether it was red at the publication.';
COMMENT ON COLUMN ci_red_time.first_at IS 'When it was seen red the first time.';
COMMENT ON COLUMN ci_red_time.last_at IS 'When it was seen red the last time.';
COMMENT ON COLUMN ci_red_time.red_s IS 'Seconds in all; several failures at once count once.';
COMMENT ON COLUMN ci_red_time.longest_s IS 'Seconds of the longest time without a break.';
