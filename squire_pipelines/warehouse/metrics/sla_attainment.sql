CREATE VIEW sla_attainment AS
WITH
goals AS (
    SELECT
        max(seconds) FILTER (name = 'ready_to_agent') AS agent_s,
        max(seconds) FILTER (name = 'ready_to_pull_request') AS pull_request_s
    FROM targets
),
judged AS (
    SELECT
        facts.repository,
        facts.week,
        CASE
            WHEN facts.agent_started_at IS NOT NULL THEN facts.agent_wait_s <= goals.agent_s
            WHEN facts.excused THEN NULL
            WHEN facts.status = 'failed' OR facts.waited_s > goals.agent_s THEN FALSE
        END AS agent_met,
        CASE
            WHEN facts.pull_request_s IS NOT NULL THEN facts.pull_request_s <= goals.pull_request_s
            WHEN facts.excused THEN NULL
            WHEN facts.status = 'failed' OR facts.waited_s > goals.pull_request_s THEN FALSE
        END AS pull_request_met
    FROM (
        SELECT
            repository,
            week,
            status,
            agent_started_at,
            agent_wait_s,
            -- What Squire's own rules held did not wait: its time counts since it could have been started.
            epoch(opened_at) - epoch(startable_at) AS pull_request_s,
            epoch(coalesce(ended_at, (SELECT published_at FROM _publication))) - epoch(startable_at) AS waited_s,
            -- What a person cancelled or what needed no change promises nothing.
            status = 'cancelled' OR (status = 'succeeded' AND cause = 'no_changes') AS excused
        FROM task_facts
        WHERE ready_at IS NOT NULL
    ) AS facts
    CROSS JOIN goals
),
counted AS (
    SELECT
        repository,
        week,
        count(*) FILTER (agent_met) AS agents_met,
        count(agent_met) AS agents,
        count(*) FILTER (pull_request_met) AS pull_requests_met,
        count(pull_request_met) AS pull_requests
    FROM judged
    GROUP BY repository, week
),
each_target AS (
    SELECT
        repository,
        week,
        'ready_to_agent' AS name,
        agents AS tasks,
        agents_met AS met
    FROM counted
    UNION ALL
    SELECT
        repository,
        week,
        'ready_to_pull_request' AS name,
        pull_requests AS tasks,
        pull_requests_met AS met
    FROM counted
)
SELECT
    each_target.repository,
    each_target.name AS target,
    each_target.week,
    targets.seconds AS target_s,
    each_target.tasks,
    each_target.met,
    each_target.tasks - each_target.met AS missed,
    each_target.met / each_target.tasks::DOUBLE AS attainment,
    targets.share AS wanted,
    each_target.met / each_target.tasks::DOUBLE >= targets.share AS kept
FROM each_target
INNER JOIN targets ON targets.name = each_target.name
WHERE each_target.tasks > 0;
COMMENT ON VIEW sla_attainment IS 'How often the targets were met, per repository, target and week; what is late already counts as missed.';
COMMENT ON COLUMN sla_attainment.repository IS 'owner/name.';
COMMENT ON COLUMN sla_attainment.target IS 'targets.name.';
COMMENT ON COLUMN sla_attainment.week IS 'The Monday of the week, in UTC, in which the tasks ended; NULL for those that have not.';
COMMENT ON COLUMN sla_attainment.target_s IS 'The most seconds that it may take.';
COMMENT ON COLUMN sla_attainment.tasks IS 'How many tasks can be judged.';
COMMENT ON COLUMN sla_attainment.met IS 'How many met the target.';
COMMENT ON COLUMN sla_attainment.missed IS 'How many did not, or no longer can.';
COMMENT ON COLUMN sla_attainment.attainment IS 'Share, 0 to 1, of those that met it.';
COMMENT ON COLUMN sla_attainment.wanted IS 'The share that the target asks for.';
COMMENT ON COLUMN sla_attainment.kept IS 'Whether the target was met.';
