SELECT
    repository,
    kind,
    model,
    prompt_version,
    week,
    count(*) AS tasks,
    count(*) FILTER (status = 'succeeded') AS succeeded,
    count(*) FILTER (status = 'failed') AS failed,
    count(*) FILTER (status = 'cancelled') AS cancelled,
    sum(attempts)::BIGINT AS attempts,
    count(*) FILTER (outcome = 'merged') AS merged,
    count(*) FILTER (outcome IN ('merged', 'closed', 'reverted')) AS decided,
    sum(cost_usd) AS cost_usd
FROM task_facts
WHERE EXISTS (
    FROM touched_weeks WHERE touched_weeks.repository = task_facts.repository AND touched_weeks.week = task_facts.week
)
GROUP BY repository, kind, model, prompt_version, week
ORDER BY week, repository, kind, model, prompt_version
