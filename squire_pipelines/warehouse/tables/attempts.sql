CREATE TABLE attempts (
    id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    repository VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    trace_id VARCHAR NOT NULL,
    run_id VARCHAR,
    lease_until TIMESTAMPTZ,
    claim_until TIMESTAMPTZ NOT NULL,
    base_sha VARCHAR,
    head_sha VARCHAR,
    agent VARCHAR,
    runner VARCHAR,
    sandboxed BOOLEAN,
    image VARCHAR,
    limits JSON,
    staged_ending JSON,
    cause VARCHAR,
    transient BOOLEAN,
    message VARCHAR,
    evidence JSON,
    verdict JSON,
    pr_number BIGINT,
    pr_url VARCHAR,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cost_usd DOUBLE,
    queued_at TIMESTAMPTZ NOT NULL,
    claimed_at TIMESTAMPTZ,
    agent_started_at TIMESTAMPTZ,
    agent_ended_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    model VARCHAR,
    prompt_version VARCHAR,
    agent_version VARCHAR,
    timings JSON,
    not_before TIMESTAMPTZ,
    verification JSON,
    previous_id VARCHAR,
    updated_at TIMESTAMPTZ NOT NULL,
    choice JSON,
    startable_at TIMESTAMPTZ,
    worker VARCHAR
);
COMMENT ON TABLE attempts IS 'One try at a task per row: one container, one cause of ending.';
COMMENT ON COLUMN attempts.id IS 'The task''s id and the attempt''s number.';
COMMENT ON COLUMN attempts.task_id IS 'tasks.id.';
COMMENT ON COLUMN attempts.number IS 'Counts from 1 within the task.';
COMMENT ON COLUMN attempts.repository IS 'owner/name.';
COMMENT ON COLUMN attempts.status IS 'queued, running, publishing or ended.';
COMMENT ON COLUMN attempts.trace_id IS 'The task''s.';
COMMENT ON COLUMN attempts.run_id IS 'The Dagster run that held it.';
COMMENT ON COLUMN attempts.lease_until IS 'When its lease ends, unless its run renews it before.';
COMMENT ON COLUMN attempts.claim_until IS 'When its run must have claimed it at the latest.';
COMMENT ON COLUMN attempts.base_sha IS 'The commit that the agent started from.';
COMMENT ON COLUMN attempts.head_sha IS 'The commit that the agent left.';
COMMENT ON COLUMN attempts.agent IS 'The program that did the work.';
COMMENT ON COLUMN attempts.runner IS 'docker or local.';
COMMENT ON COLUMN attempts.sandboxed IS 'Whether it ran in a container.';
COMMENT ON COLUMN attempts.image IS 'The container''s image.';
COMMENT ON COLUMN attempts.limits IS 'What the container was allowed to use.';
COMMENT ON COLUMN attempts.staged_ending IS 'The ending that a step found, before it was settled.';
COMMENT ON COLUMN attempts.cause IS 'How it ended, for example completed, timeout or out_of_memory.';
COMMENT ON COLUMN attempts.transient IS 'Whether the same task may end differently when it is tried again.';
COMMENT ON COLUMN attempts.message IS 'The cause in one sentence.';
COMMENT ON COLUMN attempts.evidence IS 'What was seen at the end: exit code, flags, last lines of the log, timings.';
COMMENT ON COLUMN attempts.verdict IS 'What the diff policy found.';
COMMENT ON COLUMN attempts.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN attempts.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN attempts.input_tokens IS 'Tokens that the model read.';
COMMENT ON COLUMN attempts.output_tokens IS 'Tokens that the model wrote.';
COMMENT ON COLUMN attempts.cost_usd IS 'US dollars, where the price is known.';
COMMENT ON COLUMN attempts.queued_at IS 'When it was dispatched.';
COMMENT ON COLUMN attempts.claimed_at IS 'When its run claimed it.';
COMMENT ON COLUMN attempts.agent_started_at IS 'When the agent''s process started.';
COMMENT ON COLUMN attempts.agent_ended_at IS 'When the agent''s process ended.';
COMMENT ON COLUMN attempts.ended_at IS 'When the attempt was settled.';
COMMENT ON COLUMN attempts.model IS 'The model that the agent was told to use, as provider/name.';
COMMENT ON COLUMN attempts.prompt_version IS 'The version of the prompt that the agent got.';
COMMENT ON COLUMN attempts.agent_version IS 'What the agent''s program says its version is.';
COMMENT ON COLUMN attempts.timings IS 'Seconds by part: image_s, create_s, start_s, workspace_in_s, agent_start_s, first_call_s, agent_s, bundle_out_s and others.';
COMMENT ON COLUMN attempts.not_before IS 'Its run does not begin before this moment.';
COMMENT ON COLUMN attempts.verification IS 'What the repository''s own checks said of the change.';
COMMENT ON COLUMN attempts.previous_id IS 'attempts.id of the attempt that it continues.';
COMMENT ON COLUMN attempts.updated_at IS 'When its row changed last, by the ledger''s clock.';
COMMENT ON COLUMN attempts.choice IS 'Which agent it got, by its name in the settings, its kind and model, and why; NULL before schema 0012.';
COMMENT ON COLUMN attempts.startable_at IS 'Since when none of Squire''s own rules (slots, dependencies, budgets, caps, breakers, a time) held its task; NULL before schema 0040.';
COMMENT ON COLUMN attempts.worker IS 'The worker whose run claimed it; empty where runs are processes of the one machine.';
