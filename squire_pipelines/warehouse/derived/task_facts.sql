WITH
ready AS (
    SELECT
        task_id,
        min(occurred_at) AS first_at,
        list(occurred_at) AS moments
    FROM task_events
    WHERE subject = 'task' AND after = 'ready' AND task_id IN (SELECT task_id FROM touched)
    GROUP BY task_id
),
tried AS (
    SELECT
        task_id,
        arg_max(model, number) AS model,
        arg_max(prompt_version, number) AS prompt_version,
        arg_max(head_sha, number) FILTER (cause = 'completed') AS head_sha,
        min(queued_at) AS queued_at,
        min(claimed_at) AS claimed_at,
        min(agent_started_at) AS agent_started_at,
        max(agent_ended_at) AS agent_ended_at,
        min(startable_at) AS startable_at,
        arg_min(epoch(agent_started_at) - epoch(startable_at), number) FILTER (agent_started_at IS NOT NULL)
            AS agent_wait_s
    FROM attempts
    WHERE task_id IN (SELECT task_id FROM touched)
    GROUP BY task_id
),
called AS (
    SELECT
        task_id,
        arg_max(model, id) AS model,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(output_tokens)::BIGINT AS output_tokens,
        sum(cost_usd) AS cost_usd
    FROM model_calls
    WHERE attempt_id IS NOT NULL AND task_id IN (SELECT task_id FROM touched)
    GROUP BY task_id
),
answered AS (
    SELECT
        id AS task_id,
        repository,
        created_at,
        unnest(from_json(spec -> '$.signals', '["VARCHAR"]')) AS ref
    FROM tasks
    WHERE id IN (SELECT task_id FROM touched)
),
-- Of a fact that came and went several times, the episode that the task answers is the last one before it.
answered_episodes AS (
    SELECT
        answered.task_id,
        answered.ref,
        max(signal_episodes.opened_at) AS opened_at
    FROM answered
    INNER JOIN signal_episodes
        ON
            signal_episodes.repository = answered.repository
            AND signal_episodes.kind || ':' || signal_episodes.key = answered.ref
            AND signal_episodes.opened_at <= answered.created_at
    GROUP BY answered.task_id, answered.ref
),
seen AS (
    SELECT
        task_id,
        min(opened_at) AS seen_at
    FROM answered_episodes
    GROUP BY task_id
)
SELECT
    tasks.id AS task_id,
    tasks.repository,
    tasks.kind,
    tasks.title,
    tasks.status,
    tasks.cause,
    coalesce(tried.model, called.model) AS model,
    tried.prompt_version,
    date_trunc('week', make_timestamp(epoch_us(tasks.ended_at)))::DATE AS week,
    tasks.attempts,
    called.input_tokens,
    called.output_tokens,
    called.cost_usd,
    seen.seen_at,
    tasks.created_at AS planned_at,
    coalesce(ready.first_at, tasks.ready_at) AS ready_at,
    tried.queued_at,
    tried.claimed_at,
    tried.agent_started_at,
    tried.agent_ended_at,
    outcomes.opened_at,
    outcomes.merged_at,
    tasks.ended_at,
    epoch(tried.agent_started_at)
    - epoch(coalesce(
        list_max(list_filter(ready.moments, LAMBDA moment: moment < tried.agent_started_at)),
        ready.first_at,
        tasks.ready_at
    )) AS seconds_to_agent,
    tried.startable_at,
    tried.agent_wait_s,
    outcomes.pr_number,
    outcomes.pr_url,
    outcomes.state AS outcome,
    outcomes.checks,
    CASE
        WHEN outcomes.merged_at IS NULL THEN NULL
        WHEN outcomes.ending = 'merged_changed' THEN FALSE
        ELSE coalesce(outcomes.people_commits = 0, outcomes.head_sha = tried.head_sha)
    END AS unchanged,
    tasks.trace_id
FROM tasks
LEFT JOIN ready ON ready.task_id = tasks.id
LEFT JOIN tried ON tried.task_id = tasks.id
LEFT JOIN called ON called.task_id = tasks.id
LEFT JOIN seen ON seen.task_id = tasks.id
LEFT JOIN outcomes ON outcomes.task_id = tasks.id
WHERE tasks.id IN (SELECT task_id FROM touched)
ORDER BY tasks.id
