WITH
facts AS (
    SELECT
        epoch(seen_at) AS seen,
        epoch(planned_at) AS planned,
        epoch(ready_at) AS ready,
        epoch(queued_at) AS queued,
        epoch(claimed_at) AS claimed,
        epoch(agent_started_at) AS started,
        epoch(agent_ended_at) AS stopped,
        epoch(opened_at) AS opened,
        epoch(merged_at) AS merged
    FROM task_facts
),
spans AS (
    SELECT
        unnest([
            {'position': 1, 'stage': 'seen to planned', 'began': seen, 'done': planned},
            {'position': 2, 'stage': 'planned to ready', 'began': planned, 'done': ready},
            {'position': 3, 'stage': 'ready to dispatched', 'began': ready, 'done': queued},
            {'position': 4, 'stage': 'dispatched to claimed', 'began': queued, 'done': claimed},
            {'position': 5, 'stage': 'claimed to agent', 'began': claimed, 'done': started},
            {'position': 6, 'stage': 'agent', 'began': started, 'done': stopped},
            {'position': 7, 'stage': 'agent to pull request', 'began': stopped, 'done': opened},
            {'position': 8, 'stage': 'pull request to merged', 'began': opened, 'done': merged},
            {'position': 9, 'stage': 'seen to merged', 'began': coalesce(seen, planned), 'done': merged}
        ], recursive := TRUE)
    FROM facts
)
SELECT
    stage,
    count(*) AS tasks,
    -- GitHub tells whole seconds by its own clock: what is merged at once may seem merged before.
    quantile_cont(greatest(0, done - began), 0.5) AS p50_s,
    quantile_cont(greatest(0, done - began), 0.95) AS p95_s
FROM spans
WHERE
    began IS NOT NULL
    AND done >= epoch(getvariable('since'))
    AND done <= epoch(getvariable('until'))
GROUP BY position, stage
ORDER BY position
