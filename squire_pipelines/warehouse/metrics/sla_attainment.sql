CREATE VIEW sla_attainment AS
WITH
-- Those of the repository; of one that the settings do not have any more, the general ones.
goals AS (
    SELECT
        repositories.repository,
        targets.name,
        coalesce(repository_targets.seconds, targets.seconds) AS seconds,
        coalesce(1 - repository_targets.allowed, targets.share) AS share
    FROM (SELECT DISTINCT repository FROM task_facts) AS repositories
    CROSS JOIN targets
    LEFT JOIN repository_targets
        ON repository_targets.repository = repositories.repository AND repository_targets.target = targets.name
),
facts AS (
    SELECT
        repository,
        week,
        status,
        agent_started_at IS NOT NULL AS has_agent,
        agent_wait_s,
        opened_at IS NOT NULL AS has_pull_request,
        -- What Squire's own rules held did not wait: its time counts since it could have been started.
        epoch(opened_at) - epoch(startable_at) AS pull_request_s,
        epoch(coalesce(ended_at, (SELECT published_at FROM _publication))) - epoch(startable_at) AS waited_s,
        -- What a person cancelled or what needed no change promises nothing.
        status = 'cancelled' OR (status = 'succeeded' AND cause = 'no_changes') AS excused
    FROM task_facts
    WHERE ready_at IS NOT NULL
),
reached AS (
    SELECT
        repository,
        week,
        'ready_to_agent' AS name,
        status,
        excused,
        waited_s,
        has_agent AS is_reached,
        agent_wait_s AS took_s
    FROM facts
    UNION ALL
    SELECT
        repository,
        week,
        'ready_to_pull_request' AS name,
        status,
        excused,
        waited_s,
        has_pull_request AS is_reached,
        pull_request_s AS took_s
    FROM facts
),
judged AS (
    SELECT
        reached.repository,
        reached.week,
        reached.name,
        goals.seconds,
        goals.share,
        CASE
            WHEN reached.is_reached THEN reached.took_s <= goals.seconds
            WHEN reached.excused THEN NULL
            WHEN reached.status = 'failed' OR reached.waited_s > goals.seconds THEN FALSE
        END AS is_met
    FROM reached
    INNER JOIN goals ON goals.repository = reached.repository AND goals.name = reached.name
)
SELECT
    repository,
    name AS target,
    week,
    seconds AS target_s,
    count(is_met) AS tasks,
    count(*) FILTER (is_met) AS met,
    count(*) FILTER (NOT is_met) AS missed,
    count(*) FILTER (is_met) / count(is_met)::DOUBLE AS attainment,
    share AS wanted,
    count(*) FILTER (is_met) / count(is_met)::DOUBLE >= share AS kept
FROM judged
GROUP BY repository, name, week, seconds, share
HAVING count(is_met) > 0;
COMMENT ON VIEW sla_attainment IS 'How often the targets of each repository were met, per target and week; what is late already counts as missed.';
COMMENT ON COLUMN sla_attainment.repository IS 'owner/name.';
COMMENT ON COLUMN sla_attainment.target IS 'ready_to_agent or ready_to_pull_request.';
COMMENT ON COLUMN sla_attainment.week IS 'The Monday of the week, in UTC, in which the tasks ended; NULL for those that have not.';
COMMENT ON COLUMN sla_attainment.target_s IS 'The most seconds that it may take in this repository.';
COMMENT ON COLUMN sla_attainment.tasks IS 'How many tasks can be judged.';
COMMENT ON COLUMN sla_attainment.met IS 'How many met the target.';
COMMENT ON COLUMN sla_attainment.missed IS 'How many did not, or no longer can.';
COMMENT ON COLUMN sla_attainment.attainment IS 'Share, 0 to 1, of those that met it.';
COMMENT ON COLUMN sla_attainment.wanted IS 'The share that the target asks for.';
COMMENT ON COLUMN sla_attainment.kept IS 'Whether the target was met.';
