CREATE VIEW trace AS
WITH
-- What began a trace in a repository, and what a plan or a task of it followed from.
arrivals AS (
    SELECT
        trace_id,
        repository,
        min(id) AS id
    FROM deliveries
    GROUP BY trace_id, repository
),
readings AS (
    SELECT
        trace_id,
        repository,
        coalesce(max(id) FILTER (changed > 0), max(id)) AS id
    FROM collections
    GROUP BY trace_id, repository
),
planned AS (
    SELECT
        trace_id,
        repository,
        max(id) AS id
    FROM plans
    GROUP BY trace_id, repository
),
-- A plan that read what several deliveries brought goes on in the trace of one of them, and is seen in all.
plan_places AS (
    SELECT
        id,
        trace_id,
        NULL AS linked_trace_id
    FROM plans
    UNION
    SELECT
        plans.id,
        collections.trace_id,
        plans.trace_id
    FROM plans
    INNER JOIN collections
        ON collections.repository = plans.repository AND collections.planned_at = plans.created_at
    WHERE collections.trace_id <> plans.trace_id AND collections.changed > 0
),
stored AS (
    SELECT
        attempt_id,
        min(occurred_at) AS stored_at
    FROM task_events
    WHERE subject = 'attempt' AND after = 'publishing'
    GROUP BY attempt_id
),
attempt_ends AS (
    SELECT
        attempts.*,
        coalesce(stored.stored_at, attempts.ended_at) AS stored_at
    FROM attempts
    LEFT JOIN stored ON stored.attempt_id = attempts.id
),
steps AS (
    SELECT id, 'launch' AS step, queued_at AS started_at, coalesce(claimed_at, ended_at) AS ended_at FROM attempt_ends
    UNION ALL
    SELECT id, 'prepare', claimed_at, coalesce(agent_started_at, stored_at) FROM attempt_ends
    UNION ALL
    SELECT id, 'agent', agent_started_at, coalesce(agent_ended_at, stored_at) FROM attempt_ends
    UNION ALL
    SELECT id, 'bundle', agent_ended_at, stored_at FROM attempt_ends WHERE agent_ended_at <= stored_at
    UNION ALL
    SELECT id, 'publish', stored_at, ended_at FROM attempt_ends WHERE stored_at IS DISTINCT FROM ended_at
),
pull_ends AS (
    SELECT
        task_id,
        CASE WHEN state <> 'open' THEN greatest(opened_at, coalesce(merged_at, closed_at)) END AS ended_at
    FROM outcomes
),
pull_openers AS (
    SELECT
        outcomes.task_id,
        arg_min(attempts.id, attempts.number) AS attempt_id
    FROM outcomes
    INNER JOIN attempts ON attempts.task_id = outcomes.task_id AND attempts.pr_number = outcomes.pr_number
    GROUP BY outcomes.task_id
),
stands AS (
    SELECT
        task_id,
        0 AS id,
        'waiting_for_ci' AS state,
        opened_at AS started_at
    FROM outcomes
    UNION ALL
    SELECT
        task_events.task_id,
        task_events.id,
        task_events.after,
        greatest(task_events.occurred_at, outcomes.opened_at)
    FROM task_events
    INNER JOIN outcomes ON outcomes.task_id = task_events.task_id
    WHERE task_events.subject = 'follow' AND task_events.before IS DISTINCT FROM task_events.after
),
pull_states AS (
    SELECT
        stands.*,
        outcomes.updated_at,
        coalesce(
            lead(stands.started_at) OVER (PARTITION BY stands.task_id ORDER BY stands.started_at, stands.id),
            greatest(stands.started_at, pull_ends.ended_at)
        ) AS ended_at
    FROM stands
    INNER JOIN outcomes ON outcomes.task_id = stands.task_id
    INNER JOIN pull_ends ON pull_ends.task_id = stands.task_id
),
own_pulls AS (
    SELECT
        tasks.trace_id,
        tasks.repository,
        tasks.branch,
        tasks.id AS task_id
    FROM tasks
    INNER JOIN outcomes ON outcomes.task_id = tasks.id
),
spans AS (
    SELECT
        trace_id,
        'delivery' AS kind,
        id::VARCHAR AS source_id,
        NULL AS parent_kind,
        NULL AS parent_id,
        CASE WHEN collected_trace_id <> trace_id THEN collected_trace_id END AS linked_trace_id,
        'delivery ' || event || coalesce('.' || action, '') AS name,
        CASE WHEN error IS NOT NULL THEN 'error' WHEN collected_at IS NULL THEN 'running' ELSE 'ok' END AS status,
        CASE WHEN error IS NOT NULL THEN 'not collected' END AS detail,
        received_at AS started_at,
        collected_at AS ended_at,
        repository,
        NULL AS task_id,
        NULL AS attempt_id,
        NULL AS title,
        NULL AS url,
        NULL AS provider,
        NULL AS model,
        NULL AS http_status,
        NULL AS input_tokens,
        NULL AS output_tokens,
        NULL AS cached_tokens,
        NULL AS cost_usd,
        updated_at AS recorded_at
    FROM deliveries
    UNION ALL
    SELECT
        collections.trace_id,
        'collection',
        collections.id::VARCHAR,
        'delivery',
        arrivals.id::VARCHAR,
        NULL,
        'collection ' || collections.source,
        CASE WHEN collections.status IN ('stale', 'failed') THEN 'error' ELSE 'ok' END,
        coalesce(collections.error_code, collections.status),
        collections.started_at,
        collections.ended_at,
        collections.repository,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        collections.updated_at
    FROM collections
    LEFT JOIN arrivals ON arrivals.trace_id = collections.trace_id AND arrivals.repository = collections.repository
    UNION ALL
    SELECT
        plan_places.trace_id,
        'plan',
        plans.id,
        'collection',
        readings.id::VARCHAR,
        plan_places.linked_trace_id,
        'plan',
        CASE WHEN plans.passed THEN 'ok' ELSE 'error' END,
        CASE WHEN plans.passed THEN plans.planner ELSE 'checks failed' END,
        plans.created_at - to_microseconds((coalesce(plans.latency_s, 0) * 1000000)::BIGINT),
        coalesce(plans.admitted_at, plans.created_at),
        plans.repository,
        NULL, NULL, NULL, NULL,
        plans.provider,
        plans.model,
        NULL,
        plans.input_tokens,
        plans.output_tokens,
        NULL,
        plans.cost_usd,
        plans.updated_at
    FROM plan_places
    INNER JOIN plans ON plans.id = plan_places.id
    LEFT JOIN readings ON readings.trace_id = plan_places.trace_id AND readings.repository = plans.repository
    UNION ALL
    SELECT
        tasks.trace_id,
        'task',
        tasks.id,
        CASE
            WHEN own_pulls.task_id IS NOT NULL THEN 'pull_request'
            WHEN plans.id IS NOT NULL THEN 'plan'
            WHEN readings.id IS NOT NULL THEN 'collection'
            WHEN arrivals.id IS NOT NULL THEN 'delivery'
        END,
        coalesce(own_pulls.task_id, plans.id, readings.id::VARCHAR, arrivals.id::VARCHAR),
        NULL,
        'task ' || tasks.kind,
        CASE tasks.status
            WHEN 'succeeded' THEN 'ok' WHEN 'failed' THEN 'error' WHEN 'cancelled' THEN 'cancelled' ELSE 'running'
        END,
        CASE WHEN tasks.ended_at IS NULL THEN tasks.status ELSE coalesce(tasks.cause, tasks.status) END,
        tasks.created_at,
        tasks.ended_at,
        tasks.repository,
        tasks.id,
        NULL,
        tasks.title,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        tasks.updated_at
    FROM tasks
    LEFT JOIN own_pulls
        ON own_pulls.trace_id = tasks.trace_id AND own_pulls.repository = tasks.repository
        AND own_pulls.branch = tasks.base_branch AND own_pulls.task_id <> tasks.id
    LEFT JOIN plans ON plans.id = tasks.plan_id AND plans.trace_id = tasks.trace_id
    LEFT JOIN readings ON readings.trace_id = tasks.trace_id AND readings.repository = tasks.repository
    LEFT JOIN arrivals ON arrivals.trace_id = tasks.trace_id AND arrivals.repository = tasks.repository
    UNION ALL
    SELECT
        trace_id,
        'attempt',
        id,
        'task',
        task_id,
        NULL,
        'attempt ' || number,
        CASE
            WHEN ended_at IS NULL THEN 'running'
            WHEN cause IN ('completed', 'no_changes') THEN 'ok'
            WHEN cause = 'cancelled' THEN 'cancelled'
            ELSE 'error'
        END,
        coalesce(cause, status),
        queued_at,
        ended_at,
        repository,
        task_id,
        id,
        NULL, NULL, NULL,
        model,
        NULL,
        input_tokens,
        output_tokens,
        NULL,
        cost_usd,
        updated_at
    FROM attempts
    UNION ALL
    SELECT
        attempts.trace_id,
        'step',
        steps.id || '/' || steps.step,
        'attempt',
        steps.id,
        NULL,
        steps.step,
        CASE WHEN steps.ended_at IS NULL THEN 'running' ELSE 'ok' END,
        CASE steps.step WHEN 'agent' THEN coalesce(attempts.choice ->> 'agent', attempts.agent) END,
        steps.started_at,
        greatest(steps.started_at, steps.ended_at),
        attempts.repository,
        attempts.task_id,
        attempts.id,
        NULL, NULL, NULL,
        CASE steps.step WHEN 'agent' THEN attempts.model END,
        NULL, NULL, NULL, NULL, NULL,
        attempts.updated_at
    FROM steps
    INNER JOIN attempts ON attempts.id = steps.id
    WHERE steps.started_at IS NOT NULL
    UNION ALL
    SELECT
        model_calls.trace_id,
        'model_call',
        model_calls.id::VARCHAR,
        CASE
            WHEN attempts.agent_started_at IS NOT NULL THEN 'step'
            WHEN attempts.id IS NOT NULL THEN 'attempt'
            WHEN planned.id IS NOT NULL THEN 'plan'
        END,
        coalesce(
            CASE WHEN attempts.agent_started_at IS NOT NULL THEN attempts.id || '/agent' END, attempts.id, planned.id
        ),
        NULL,
        'chat ' || model_calls.model,
        CASE WHEN model_calls.ok THEN 'ok' ELSE 'error' END,
        CASE WHEN NOT model_calls.ok THEN coalesce(model_calls.status::VARCHAR, 'no answer') END,
        model_calls.occurred_at - to_microseconds((model_calls.latency_s * 1000000)::BIGINT),
        model_calls.occurred_at,
        coalesce(model_calls.repository, attempts.repository),
        model_calls.task_id,
        model_calls.attempt_id,
        NULL, NULL,
        model_calls.provider,
        model_calls.model,
        model_calls.status,
        model_calls.input_tokens,
        model_calls.output_tokens,
        model_calls.cached_tokens,
        model_calls.cost_usd,
        model_calls.occurred_at
    FROM model_calls
    LEFT JOIN attempts ON attempts.id = model_calls.attempt_id
    LEFT JOIN planned
        ON planned.trace_id = model_calls.trace_id AND planned.repository = model_calls.repository
        AND model_calls.purpose = 'plan'
    UNION ALL
    SELECT
        outcomes.trace_id,
        'pull_request',
        outcomes.task_id,
        CASE WHEN pull_openers.attempt_id IS NULL THEN 'task' ELSE 'attempt' END,
        coalesce(pull_openers.attempt_id, outcomes.task_id),
        NULL,
        'pull request',
        CASE WHEN pull_ends.ended_at IS NULL THEN 'running' ELSE 'ok' END,
        coalesce(outcomes.ending, outcomes.state),
        outcomes.opened_at,
        pull_ends.ended_at,
        outcomes.repository,
        outcomes.task_id,
        pull_openers.attempt_id,
        NULL,
        outcomes.pr_url,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        outcomes.updated_at
    FROM outcomes
    INNER JOIN pull_ends ON pull_ends.task_id = outcomes.task_id
    LEFT JOIN pull_openers ON pull_openers.task_id = outcomes.task_id
    UNION ALL
    SELECT
        outcomes.trace_id,
        'pull_state',
        pull_states.task_id || '/' || pull_states.id,
        'pull_request',
        pull_states.task_id,
        NULL,
        pull_states.state,
        CASE WHEN pull_states.ended_at IS NULL THEN 'running' ELSE 'ok' END,
        NULL,
        pull_states.started_at,
        pull_states.ended_at,
        outcomes.repository,
        outcomes.task_id,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        pull_states.updated_at
    FROM pull_states
    INNER JOIN outcomes ON outcomes.task_id = pull_states.task_id
    UNION ALL
    SELECT
        merges.trace_id,
        'merge',
        merges.task_id,
        'pull_request',
        merges.task_id,
        NULL,
        'merge',
        CASE merges.progress WHEN 'refused' THEN 'error' WHEN 'merged' THEN 'ok' ELSE 'running' END,
        merges.progress,
        merges.asked_at,
        CASE WHEN merges.progress IN ('refused', 'merged') THEN greatest(merges.asked_at, merges.updated_at) END,
        merges.repository,
        merges.task_id,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        merges.updated_at
    FROM merges
    WHERE merges.asked_at IS NOT NULL AND merges.progress <> 'taken_back'
    UNION ALL
    SELECT
        base_watches.trace_id,
        'base_watch',
        base_watches.task_id,
        'pull_request',
        base_watches.task_id,
        NULL,
        'checks of the base',
        CASE base_watches.verdict WHEN 'broken' THEN 'error' WHEN 'waiting' THEN 'running' ELSE 'ok' END,
        base_watches.verdict,
        pull_ends.ended_at,
        CASE WHEN base_watches.verdict <> 'waiting' THEN greatest(pull_ends.ended_at, base_watches.updated_at) END,
        base_watches.repository,
        base_watches.task_id,
        NULL, NULL,
        base_watches.revert_url,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        base_watches.updated_at
    FROM base_watches
    INNER JOIN pull_ends ON pull_ends.task_id = base_watches.task_id
    WHERE pull_ends.ended_at IS NOT NULL
)
SELECT
    trace_id,
    -- The same row of the ledger is the same span at every reading, whoever reads it.
    left(md5(trace_id || kind || source_id), 16) AS span_id,
    left(md5(trace_id || parent_kind || parent_id), 16) AS parent_span_id,
    linked_trace_id,
    kind,
    name,
    status,
    detail,
    started_at,
    ended_at,
    epoch(ended_at) - epoch(started_at) AS duration_s,
    repository,
    task_id,
    attempt_id,
    source_id,
    title,
    url,
    provider,
    model,
    http_status,
    input_tokens,
    output_tokens,
    cached_tokens,
    cost_usd,
    recorded_at
FROM spans;
COMMENT ON VIEW trace IS 'One row per span: what happened in a trace, from the delivery that began it to what became of the pull request. squire trace draws one, and what is sent to OpenTelemetry is this.';
COMMENT ON COLUMN trace.trace_id IS 'Of the delivery, tick or command that it began with.';
COMMENT ON COLUMN trace.span_id IS 'Made of what the span is of, so that it is the same whenever it is read; 16 hexadecimal digits.';
COMMENT ON COLUMN trace.parent_span_id IS 'The span that it followed from or is part of; NULL for what began the trace.';
COMMENT ON COLUMN trace.linked_trace_id IS 'The trace in which this goes on, where several deliveries were read or planned together; NULL where it goes on in this one.';
COMMENT ON COLUMN trace.kind IS 'delivery, collection, plan, model_call, task, attempt, step, pull_request, pull_state, merge or base_watch.';
COMMENT ON COLUMN trace.name IS 'What happened, in few words that never have a text of the repository.';
COMMENT ON COLUMN trace.status IS 'ok, error, cancelled, or running while it has no end.';
COMMENT ON COLUMN trace.detail IS 'How it ended or stands, in a word: a cause, a status, a verdict.';
COMMENT ON COLUMN trace.started_at IS 'When it began.';
COMMENT ON COLUMN trace.ended_at IS 'When it ended; NULL while it runs.';
COMMENT ON COLUMN trace.duration_s IS 'Seconds that it took; NULL while it runs.';
COMMENT ON COLUMN trace.repository IS 'owner/name; the group''s name for a plan over several.';
COMMENT ON COLUMN trace.task_id IS 'tasks.id, for what belongs to a task.';
COMMENT ON COLUMN trace.attempt_id IS 'attempts.id, for what belongs to an attempt.';
COMMENT ON COLUMN trace.source_id IS 'The id of the row that it is made of, in the table that its kind names.';
COMMENT ON COLUMN trace.title IS 'tasks.title, for a task. It is not sent to OpenTelemetry.';
COMMENT ON COLUMN trace.url IS 'The page of the pull request, or of the one that reverts it.';
COMMENT ON COLUMN trace.provider IS 'Which of the settings'' providers was asked.';
COMMENT ON COLUMN trace.model IS 'The model that was asked.';
COMMENT ON COLUMN trace.http_status IS 'The HTTP status of a model''s answer.';
COMMENT ON COLUMN trace.input_tokens IS 'Tokens that the model read.';
COMMENT ON COLUMN trace.output_tokens IS 'Tokens that the model wrote.';
COMMENT ON COLUMN trace.cached_tokens IS 'Those of the input tokens that the model had read before.';
COMMENT ON COLUMN trace.cost_usd IS 'US dollars, where they are known.';
COMMENT ON COLUMN trace.recorded_at IS 'When the row that it is made of changed last, by the ledger''s clock.';
