WITH
stages AS (
    SELECT
        repository,
        week,
        unnest([
            {'position': 1, 'stage': 'seen to planned', 'seconds': epoch(planned_at) - epoch(seen_at)},
            {'position': 2, 'stage': 'planned to ready', 'seconds': epoch(ready_at) - epoch(planned_at)},
            {'position': 3, 'stage': 'ready to dispatched', 'seconds': epoch(queued_at) - epoch(ready_at)},
            {'position': 4, 'stage': 'dispatched to claimed', 'seconds': epoch(claimed_at) - epoch(queued_at)},
            {'position': 5, 'stage': 'claimed to agent', 'seconds': epoch(agent_started_at) - epoch(claimed_at)},
            {'position': 6, 'stage': 'agent', 'seconds': epoch(agent_ended_at) - epoch(agent_started_at)},
            {'position': 7, 'stage': 'agent to pull request', 'seconds': epoch(opened_at) - epoch(agent_ended_at)},
            {'position': 8, 'stage': 'pull request to merged', 'seconds': greatest(0, epoch(merged_at) - epoch(opened_at))}
        ]) AS part
    FROM task_facts
    WHERE
        merged_at IS NOT NULL
        AND EXISTS (
            FROM touched_weeks
            WHERE touched_weeks.repository = task_facts.repository AND touched_weeks.week = task_facts.week
        )
)
SELECT
    repository,
    week,
    part.position AS position,
    part.stage AS stage,
    count(*) AS tasks,
    avg(part.seconds) AS mean_s,
    quantile_cont(part.seconds, 0.5) AS p50_s,
    quantile_cont(part.seconds, 0.95) AS p95_s
FROM stages
WHERE part.seconds IS NOT NULL
GROUP BY repository, week, part.position, part.stage
ORDER BY week, repository, part.position
