CREATE VIEW agent_use AS
WITH
-- A task's pull request is the work of the last attempt that completed it.
done AS (
    SELECT
        task_id,
        max(number) AS number
    FROM attempts
    WHERE cause = 'completed'
    GROUP BY task_id
)
SELECT
    attempt_facts.agent_name,
    attempt_facts.agent_kind,
    attempt_facts.model,
    count(*) AS attempts,
    count(*) FILTER (attempt_facts.failed) AS failed,
    count(*) FILTER (done.number = attempts.number AND task_facts.outcome IS NOT NULL) AS pull_requests,
    count(*) FILTER (done.number = attempts.number AND task_facts.outcome = 'merged') AS merged,
    sum(attempts.cost_usd) AS cost_usd,
    sum(attempts.cost_usd)
    / nullif(count(*) FILTER (done.number = attempts.number AND task_facts.outcome = 'merged'), 0) AS usd_per_merged,
    quantile_cont(attempt_facts.agent_s, 0.5) AS p50_agent_s
FROM attempt_facts
INNER JOIN attempts ON attempts.id = attempt_facts.attempt_id
LEFT JOIN task_facts ON task_facts.task_id = attempt_facts.task_id
LEFT JOIN done ON done.task_id = attempt_facts.task_id
GROUP BY attempt_facts.agent_name, attempt_facts.agent_kind, attempt_facts.model;
COMMENT ON VIEW agent_use IS 'What each agent cost and how it did, per agent and model, from the beginning.';
COMMENT ON COLUMN agent_use.agent_name IS 'Its name in the settings; NULL before schema 0012.';
COMMENT ON COLUMN agent_use.agent_kind IS 'Its kind, for example codex; NULL before schema 0012.';
COMMENT ON COLUMN agent_use.model IS 'The model that it used.';
COMMENT ON COLUMN agent_use.attempts IS 'How many attempts it made.';
COMMENT ON COLUMN agent_use.failed IS 'How many of them ended with a failure.';
COMMENT ON COLUMN agent_use.pull_requests IS 'How many tasks have a pull request by it.';
COMMENT ON COLUMN agent_use.merged IS 'How many of these are merged for good.';
COMMENT ON COLUMN agent_use.cost_usd IS 'US dollars for all of its attempts, where the price is known.';
COMMENT ON COLUMN agent_use.usd_per_merged IS 'US dollars for each merged pull request, failed attempts included; NULL when none is merged.';
COMMENT ON COLUMN agent_use.p50_agent_s IS 'Seconds that it ran, the median.';
