CREATE TABLE budgets (
    id VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    task_id VARCHAR,
    attempt_id VARCHAR,
    reserved_usd DOUBLE NOT NULL,
    reserved_tokens BIGINT NOT NULL,
    spent_usd DOUBLE NOT NULL,
    spent_tokens BIGINT NOT NULL,
    spent_requests BIGINT NOT NULL,
    state VARCHAR NOT NULL,
    opened_at TIMESTAMPTZ NOT NULL,
    checked_at TIMESTAMPTZ,
    settled_at TIMESTAMPTZ,
    trace_id VARCHAR NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE budgets IS 'What was set aside for each attempt and plan, and what it used.';
COMMENT ON COLUMN budgets.id IS 'attempts.id, or plan: and plans.id.';
COMMENT ON COLUMN budgets.purpose IS 'attempt or plan.';
COMMENT ON COLUMN budgets.repository IS 'owner/name.';
COMMENT ON COLUMN budgets.task_id IS 'tasks.id, for an attempt.';
COMMENT ON COLUMN budgets.attempt_id IS 'attempts.id, for an attempt.';
COMMENT ON COLUMN budgets.reserved_usd IS 'US dollars that were set aside when it began.';
COMMENT ON COLUMN budgets.reserved_tokens IS 'Tokens that were set aside when it began.';
COMMENT ON COLUMN budgets.spent_usd IS 'US dollars that it has used so far.';
COMMENT ON COLUMN budgets.spent_tokens IS 'Tokens that it has used so far.';
COMMENT ON COLUMN budgets.spent_requests IS 'Calls to a model that it has made so far.';
COMMENT ON COLUMN budgets.state IS 'open, settled or released.';
COMMENT ON COLUMN budgets.opened_at IS 'When it was set aside.';
COMMENT ON COLUMN budgets.checked_at IS 'When the use was counted last.';
COMMENT ON COLUMN budgets.settled_at IS 'When it was settled or released.';
COMMENT ON COLUMN budgets.trace_id IS 'The task''s or the plan''s.';
COMMENT ON COLUMN budgets.updated_at IS 'When its row changed last, by the ledger''s clock.';
