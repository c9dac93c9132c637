CREATE VIEW target_burn_rates AS
WITH
counted AS (
    SELECT
        repository,
        'task_failure' AS target,
        ended_at AS counted_at,
        status = 'failed' AS missed
    FROM task_facts
    WHERE ended_at IS NOT NULL AND status <> 'cancelled'
    UNION ALL
    SELECT
        attempts.repository,
        'container_crash' AS target,
        attempts.ended_at AS counted_at,
        attempts.cause IN ('killed', 'out_of_memory') AS missed
    FROM attempts
    WHERE attempts.ended_at IS NOT NULL AND attempts.agent_started_at IS NOT NULL AND attempts.cause <> 'cancelled'
    UNION ALL
    SELECT
        attempts.repository,
        'ready_to_agent' AS target,
        attempts.agent_started_at AS counted_at,
        epoch(attempts.agent_started_at) - epoch(attempts.startable_at) > repository_targets.seconds AS missed
    FROM attempts
    INNER JOIN repository_targets
        ON repository_targets.repository = attempts.repository AND repository_targets.target = 'ready_to_agent'
    WHERE attempts.agent_started_at IS NOT NULL AND attempts.startable_at IS NOT NULL
    UNION ALL
    SELECT
        task_facts.repository,
        'ready_to_pull_request' AS target,
        task_facts.opened_at AS counted_at,
        epoch(task_facts.opened_at) - epoch(task_facts.startable_at) > repository_targets.seconds AS missed
    FROM task_facts
    INNER JOIN repository_targets
        ON
            repository_targets.repository = task_facts.repository
            AND repository_targets.target = 'ready_to_pull_request'
    WHERE task_facts.opened_at IS NOT NULL AND task_facts.startable_at IS NOT NULL
),
spans (span, hours) AS (
    VALUES ('1 h', 1), ('6 h', 6), ('3 d', 72)
)
SELECT
    repository_targets.repository,
    repository_targets.target,
    spans.span,
    round(repository_targets.allowed, 4) AS allowed,
    count(counted.counted_at) AS events,
    count(*) FILTER (counted.missed) AS missed,
    round(count(*) FILTER (counted.missed) / nullif(count(counted.counted_at), 0)::DOUBLE, 4) AS share,
    round(
        count(*) FILTER (counted.missed) / nullif(count(counted.counted_at), 0)::DOUBLE / repository_targets.allowed, 2
    ) AS burn_rate
FROM repository_targets
CROSS JOIN spans
LEFT JOIN counted
    ON
        counted.repository = repository_targets.repository
        AND counted.target = repository_targets.target
        AND counted.counted_at > (SELECT published_at FROM _publication) - to_hours(spans.hours)
GROUP BY repository_targets.repository, repository_targets.target, repository_targets.allowed, spans.span, spans.hours
ORDER BY repository_targets.repository, repository_targets.target, spans.hours;
COMMENT ON VIEW target_burn_rates IS 'How fast each repository''s targets are missed in the hours before the publication: 1 is what the target allows.';
COMMENT ON COLUMN target_burn_rates.repository IS 'owner/name.';
COMMENT ON COLUMN target_burn_rates.target IS 'task_failure, container_crash, ready_to_agent or ready_to_pull_request.';
COMMENT ON COLUMN target_burn_rates.span IS '1 h, 6 h or 3 d before the publication.';
COMMENT ON COLUMN target_burn_rates.allowed IS 'The share, 0 to 1, that may miss it.';
COMMENT ON COLUMN target_burn_rates.events IS 'How many tasks or containers count in that time.';
COMMENT ON COLUMN target_burn_rates.missed IS 'How many of them missed it.';
COMMENT ON COLUMN target_burn_rates.share IS 'Share, 0 to 1, of those that missed it; NULL where nothing happened.';
COMMENT ON COLUMN target_burn_rates.burn_rate IS 'That share over the allowed one: above 1, more are missed than the target allows.';
