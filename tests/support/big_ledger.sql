-- Fills an empty ledger on SQLite. `given` has one row: attempts, tasks, began, last (seconds since 1970).
-- One task in five has two attempts, one in eight fails, six in ten get their pull request merged.

CREATE TEMP TABLE one AS
SELECT
    n,
    began + n * (last - began - 5000.0) / tasks AS born,
    printf('%08x%08x', (n * 2654435761) & 4294967295, ((n * 40503 + 12345) * 22468225) & 4294967295) AS noise,
    printf('t%09x%05x', n, (n * 2654435761) & 1048575) AS task_id,
    printf('p%09x', n / 20 * 20) AS plan_id,
    printf('acme/repository-%03d', (n * 7919) % 200) AS repository,
    CASE n % 4 WHEN 0 THEN 'fix_ci' WHEN 1 THEN 'address_review' WHEN 2 THEN 'resolve_issue' ELSE 'manual' END AS kind,
    CASE n % 3 WHEN 0 THEN 'anthropic/large' WHEN 1 THEN 'openai/medium' ELSE 'local/small' END AS model,
    CASE WHEN n < tasks / 2 THEN 'p1' ELSE 'p2' END AS prompt_version,
    CASE WHEN n % 8 = 0 THEN 'failed' WHEN n % 97 = 0 THEN 'cancelled' ELSE 'succeeded' END AS status,
    CASE
        WHEN n % 8 = 0
            THEN
                CASE n / 8 % 4
                    WHEN 0 THEN 'timeout' WHEN 1 THEN 'agent_failed' WHEN 2 THEN 'out_of_memory' ELSE 'policy_violation'
                END
        WHEN n % 97 = 0 THEN 'cancelled'
        ELSE 'completed'
    END AS cause
FROM numbers
CROSS JOIN given
WHERE n < tasks;

-- One row per attempt.
CREATE TEMP TABLE tried AS
SELECT
    one.*,
    one.noise || one.noise AS trace,
    each.k,
    one.task_id || '-' || each.k AS attempt_id,
    one.born + 30 + (each.k - 1) * 400 AS start,
    each.k = 2 OR one.n % 5 <> 0 AS final
FROM one
INNER JOIN (SELECT 1 AS k UNION ALL SELECT 2) AS each ON each.k = 1 OR one.n % 5 = 0
ORDER BY one.n, each.k;

INSERT INTO plans (
    id, repository, planner, signals_digest, plan, findings, passed, tasks_proposed, tasks_created, trace_id, created_at,
    admitted_at, updated_at
)
SELECT
    plan_id, repository, 'rules', noise, '{}', '[]', 1, 20, 20, noise || noise,
    strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch')
FROM one
WHERE n % 20 = 0;

INSERT INTO tasks (
    id, repository, status, kind, title, priority, fingerprint, spec, branch, base_branch, plan_id, attempts,
    max_attempts, cause, message, trace_id, created_at, ready_at, ended_at, updated_at, title_words
)
SELECT
    task_id, repository, status, kind, 'Repair ' || noise, n % 4, noise || noise,
    json_object(
        'key', 'k' || n, 'title', 'Repair ' || noise, 'kind', kind,
        'prompt', 'Look at ' || noise || ' and mend what ' || noise || n || ' says, then run the tests.',
        'priority', 'medium', 'risk', 'low', 'confidence', 0.9, 'base_branch', 'main',
        'signals', json_array('open_issue:' || n)
    ),
    'squire/' || task_id, 'main', plan_id, CASE WHEN n % 5 = 0 THEN 2 ELSE 1 END, 3, cause, 'it ended so', noise || noise,
    strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 270 + (n % 5 = 0) * 400, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 270 + (n % 5 = 0) * 400, 'unixepoch'),
    'repair ' || noise
FROM one;

INSERT INTO task_search (words, id_hex, task_id) SELECT title_words, hex(id), id FROM tasks ORDER BY created_at, id;

INSERT INTO attempts (
    id, task_id, number, repository, status, trace_id, run_id, claim_until, base_sha, head_sha, agent, runner, sandboxed,
    image, limits, cause, transient, message, evidence, queued_at, claimed_at, agent_started_at, agent_ended_at, ended_at,
    model, prompt_version, agent_version, timings, updated_at
)
SELECT
    attempt_id, task_id, k, repository, 'ended', trace, noise, strftime('%Y-%m-%dT%H:%M:%f000Z', start + 120, 'unixepoch'),
    trace, trace, 'opencode', 'docker', 1, 'sha256:' || substr(noise, 1, 2), '{"cpus": 2, "memory": 4294967296}',
    CASE WHEN final THEN cause ELSE 'lost' END, NOT final, 'it ended so',
    json_object(
        'exit_code', n % 2, 'oom_killed', json('false'), 'log_tail', json_array('line ' || noise, 'line ' || noise || n)
    ),
    strftime('%Y-%m-%dT%H:%M:%f000Z', start, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', start + 3, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', start + 5, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', start + 200, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', start + 240, 'unixepoch'),
    model, prompt_version, '1.18',
    json_object(
        'image_s', 0.01, 'create_s', n % 17 / 100.0, 'start_s', n % 23 / 50.0, 'workspace_in_s', 1.5, 'first_call_s', 2.5
    ),
    strftime('%Y-%m-%dT%H:%M:%f000Z', start + 240, 'unixepoch')
FROM tried;

INSERT INTO task_events (task_id, attempt_id, subject, before, after, actor, reason, trace_id, at)
SELECT
    tried.task_id,
    CASE WHEN step.subject = 'attempt' THEN tried.attempt_id END,
    step.subject,
    step.before,
    CASE WHEN step.number = 5 AND tried.final THEN tried.status ELSE step.after END,
    'run:' || tried.noise,
    'so it went',
    tried.trace,
    strftime('%Y-%m-%dT%H:%M:%f000Z', CASE step.number WHEN 1 THEN tried.born ELSE tried.start + step.later END, 'unixepoch')
FROM tried
INNER JOIN (
    SELECT 1 AS number, 'task' AS subject, NULL AS before, 'ready' AS after, 0 AS later
    UNION ALL
    SELECT 2, 'task', 'ready', 'running', 0
    UNION ALL
    SELECT 3, 'attempt', 'queued', 'running', 3
    UNION ALL
    SELECT 4, 'attempt', 'running', 'ended', 240
    UNION ALL
    SELECT 5, 'task', 'running', 'ready', 240
) AS step ON step.number > 1 OR tried.k = 1
ORDER BY tried.n, tried.k, step.number;

INSERT INTO outcomes (
    task_id, repository, pr_number, pr_url, head_sha, state, checks, opened_at, merged_at, forge_updated_at, updated_at
)
SELECT
    task_id, repository, n, 'https://example.org/' || n, noise || noise,
    CASE WHEN n % 10 < 7 THEN 'merged' WHEN n % 100 = 7 THEN 'open' ELSE 'closed' END, 'passed',
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 260, 'unixepoch'),
    CASE WHEN n % 10 < 7 THEN strftime('%Y-%m-%dT%H:%M:%f000Z', born + 4000, 'unixepoch') END,
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 4000, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 4000, 'unixepoch')
FROM one
WHERE status = 'succeeded';

INSERT INTO model_calls (
    purpose, repository, task_id, attempt_id, model, ok, status, input_tokens, output_tokens, cost_usd, latency_s, trace_id,
    at, estimated
)
SELECT
    'agent', repository, task_id, attempt_id, model, n % 50 <> 0, 200, 4000 + n % 999, 500 + n % 99, 0.01 + n % 7 / 1000.0,
    1 + n % 101 / 20.0, trace, strftime('%Y-%m-%dT%H:%M:%f000Z', start + 10 * c, 'unixepoch'), 0
FROM tried
CROSS JOIN (SELECT 1 AS c UNION ALL SELECT 2)
ORDER BY n, k, c;

INSERT INTO signals (
    repository, kind, key, version, title, url, signal, first_seen_at, last_seen_at, gone_at, updated_at
)
SELECT
    repository, CASE WHEN n % 10 = 0 THEN 'failed_ci' ELSE 'open_issue' END, n, 'v1', 'Issue ' || n,
    'https://example.org/' || n,
    json_object(
        'key', n, 'details', json_object('branch', 'main', 'on_default_branch', json('true'), 'body', noise)
    ),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born - 120, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 3600, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 4000, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 4000, 'unixepoch')
FROM one
WHERE n % 3 = 0;

INSERT INTO signal_episodes (
    repository, kind, key, number, version, title, url, branch, on_default_branch, opened_at, closed_at, updated_at
)
SELECT
    repository, kind, key, 1, version, title, url, 'main', 1, first_seen_at, gone_at, updated_at
FROM signals
ORDER BY id;

INSERT INTO collections (
    repository, source, status, signals, changed, truncated, started_at, ended_at, trace_id, requests, quota_cost,
    quota_remaining, updated_at
)
SELECT
    repository, 'open_issues', 'fresh', 5, 1, 0, strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 1, 'unixepoch'), noise || noise, 2, 3, 4000 - n % 1000,
    strftime('%Y-%m-%dT%H:%M:%f000Z', born + 1, 'unixepoch')
FROM one
WHERE n % 4 = 0;

INSERT INTO deliveries (
    source, delivery_id, body_sha256, event, repository, body, trace_id, received_at, tries, updated_at
)
SELECT
    'github', noise, noise || noise, 'push', repository, x'7b7d', noise || noise,
    strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'), 1, strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch')
FROM one
WHERE n % 8 = 0;

INSERT INTO budgets (
    id, purpose, repository, task_id, attempt_id, reserved_usd, reserved_tokens, spent_usd, spent_tokens, spent_requests,
    state, opened_at, settled_at, trace_id, updated_at
)
SELECT
    attempt_id, 'attempt', repository, task_id, attempt_id, 1, 100000, 0.02, 9000, 2, 'settled',
    strftime('%Y-%m-%dT%H:%M:%f000Z', start, 'unixepoch'), strftime('%Y-%m-%dT%H:%M:%f000Z', start + 240, 'unixepoch'),
    trace, strftime('%Y-%m-%dT%H:%M:%f000Z', start + 240, 'unixepoch')
FROM tried;

INSERT INTO audit (at, actor, action, subject, detail, trace_id)
SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', born, 'unixepoch'), 'ann', 'approve', task_id, '{}', noise || noise
FROM one
WHERE n % 100 = 0;
