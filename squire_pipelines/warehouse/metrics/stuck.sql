CREATE VIEW stuck AS
WITH
moment AS (
    SELECT published_at FROM _publication
),
blocked AS (
    SELECT
        task_dependencies.task_id,
        string_agg(task_dependencies.depends_on, ', ' ORDER BY task_dependencies.depends_on) AS names
    FROM task_dependencies
    INNER JOIN tasks AS waiting ON waiting.id = task_dependencies.task_id AND waiting.status = 'ready'
    INNER JOIN tasks AS needed ON needed.id = task_dependencies.depends_on AND needed.status <> 'succeeded'
    GROUP BY task_dependencies.task_id
),
waiting_tasks AS (
    SELECT
        tasks.repository,
        tasks.id AS task_id,
        NULL AS attempt_id,
        CASE
            WHEN tasks.status = 'proposed' THEN 'approval'
            WHEN tasks.not_before > moment.published_at THEN 'retry'
            WHEN blocked.names IS NOT NULL THEN 'dependency'
            WHEN coalesce(own.shortage, shared.shortage) IS NOT NULL THEN 'budget'
            ELSE 'slot'
        END AS reason,
        CASE
            WHEN tasks.status = 'proposed' THEN 'nobody has approved it'
            WHEN tasks.not_before > moment.published_at
                THEN 'tried again at ' || strftime(make_timestamp(epoch_us(tasks.not_before)), '%Y-%m-%d %H:%M:%S UTC')
            WHEN blocked.names IS NOT NULL THEN 'waits for ' || blocked.names
            ELSE 'waits for ' || coalesce(own.shortage, shared.shortage, 'its start')
        END AS detail,
        coalesce(tasks.ready_at, tasks.created_at) AS since,
        tasks.trace_id
    FROM tasks
    CROSS JOIN moment
    LEFT JOIN blocked ON blocked.task_id = tasks.id
    LEFT JOIN held_back AS own ON own.task_id = tasks.id
    LEFT JOIN held_back AS shared ON shared.repository = tasks.repository
    WHERE tasks.status IN ('proposed', 'ready')
),
waiting_attempts AS (
    SELECT
        attempts.repository,
        attempts.task_id,
        attempts.id AS attempt_id,
        CASE
            WHEN attempts.status = 'queued' AND attempts.claim_until < moment.published_at THEN 'not_claimed'
            WHEN attempts.status = 'queued' THEN 'start'
            WHEN attempts.lease_until < moment.published_at THEN 'lease_expired'
            ELSE 'running'
        END AS reason,
        CASE
            WHEN attempts.status = 'queued' AND attempts.claim_until < moment.published_at
                THEN 'no run claimed it in time'
            WHEN attempts.status = 'queued' THEN 'dispatched, its run has not begun'
            WHEN attempts.lease_until < moment.published_at THEN 'its run did not renew its lease'
            WHEN attempts.status = 'publishing' THEN 'its change is being published'
            ELSE 'its agent is at work'
        END AS detail,
        coalesce(attempts.claimed_at, attempts.queued_at) AS since,
        attempts.trace_id
    FROM attempts
    CROSS JOIN moment
    WHERE attempts.status <> 'ended'
),
waiting_pull_requests AS (
    SELECT
        repository,
        task_id,
        NULL AS attempt_id,
        CASE
            WHEN review_state = 'needs_approval' THEN 'pull_request_approval'
            WHEN checks = 'failed' THEN 'pull_request_checks'
            ELSE 'pull_request_open'
        END AS reason,
        'pull request #' || pr_number || ' is open, its checks: ' || coalesce(checks, 'not known') AS detail,
        opened_at AS since,
        trace_id
    FROM outcomes
    WHERE state = 'open'
)
SELECT
    everything.repository,
    everything.task_id,
    everything.attempt_id,
    everything.reason,
    everything.detail,
    everything.since,
    epoch(moment.published_at) - epoch(everything.since) AS waiting_s,
    everything.trace_id
FROM (
    FROM waiting_tasks
    UNION ALL
    FROM waiting_attempts
    UNION ALL
    FROM waiting_pull_requests
) AS everything
CROSS JOIN moment;
COMMENT ON VIEW stuck IS 'What is not done and what it waits for, at the time of the publication; what waits longest is stuck.';
COMMENT ON COLUMN stuck.repository IS 'owner/name.';
COMMENT ON COLUMN stuck.task_id IS 'tasks.id.';
COMMENT ON COLUMN stuck.attempt_id IS 'attempts.id, where an attempt is under way.';
COMMENT ON COLUMN stuck.reason IS 'approval, retry, dependency, budget, slot, start, not_claimed, running, lease_expired, pull_request_approval, pull_request_checks or pull_request_open.';
COMMENT ON COLUMN stuck.detail IS 'The reason in words.';
COMMENT ON COLUMN stuck.since IS 'Since when.';
COMMENT ON COLUMN stuck.waiting_s IS 'Seconds from then to the publication.';
COMMENT ON COLUMN stuck.trace_id IS 'The task''s.';
