SELECT
    repository,
    runner,
    week,
    count(*) AS attempts,
    quantile_cont(container_start_s, 0.5) AS p50_s,
    quantile_cont(container_start_s, 0.95) AS p95_s,
    max(container_start_s) AS max_s,
    avg(image_s) AS mean_image_s,
    avg(workspace_s) AS mean_workspace_s,
    avg(first_call_s) AS mean_first_call_s
FROM attempt_facts
WHERE
    container_start_s IS NOT NULL
    AND EXISTS (
        FROM touched_weeks
        WHERE touched_weeks.repository = attempt_facts.repository AND touched_weeks.week = attempt_facts.week
    )
GROUP BY repository, runner, week
ORDER BY week, repository, runner
