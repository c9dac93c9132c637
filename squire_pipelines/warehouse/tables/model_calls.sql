CREATE TABLE model_calls (
    id BIGINT NOT NULL,
    purpose VARCHAR NOT NULL,
    repository VARCHAR,
    task_id VARCHAR,
    attempt_id VARCHAR,
    model VARCHAR NOT NULL,
    ok BOOLEAN NOT NULL,
    status BIGINT,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_usd DOUBLE,
    latency_s DOUBLE NOT NULL,
    error VARCHAR,
    trace_id VARCHAR NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    call_id VARCHAR,
    cached_tokens BIGINT,
    cache_write_tokens BIGINT,
    estimated BOOLEAN NOT NULL,
    web_search BOOLEAN NOT NULL,
    provider VARCHAR,
    reasoning_tokens BIGINT,
    stated_usd DOUBLE,
    cost_difference_usd DOUBLE
);
COMMENT ON TABLE model_calls IS 'Every call to a model, for planning and by agents.';
COMMENT ON COLUMN model_calls.id IS 'Grows with time.';
COMMENT ON COLUMN model_calls.purpose IS 'plan or agent.';
COMMENT ON COLUMN model_calls.repository IS 'owner/name.';
COMMENT ON COLUMN model_calls.task_id IS 'tasks.id, for an agent''s call.';
COMMENT ON COLUMN model_calls.attempt_id IS 'attempts.id, for an agent''s call.';
COMMENT ON COLUMN model_calls.model IS 'The model''s name.';
COMMENT ON COLUMN model_calls.ok IS 'Whether it answered.';
COMMENT ON COLUMN model_calls.status IS 'The HTTP status.';
COMMENT ON COLUMN model_calls.input_tokens IS 'Tokens that the model read.';
COMMENT ON COLUMN model_calls.output_tokens IS 'Tokens that the model wrote.';
COMMENT ON COLUMN model_calls.cost_usd IS 'US dollars that count for budgets: by our own calculation, or by the word of a provider whose figure counts; NULL where neither is known.';
COMMENT ON COLUMN model_calls.latency_s IS 'Seconds until the answer was whole.';
COMMENT ON COLUMN model_calls.error IS 'Why it did not answer.';
COMMENT ON COLUMN model_calls.trace_id IS 'The task''s or the plan''s.';
COMMENT ON COLUMN model_calls.occurred_at IS 'When it was recorded.';
COMMENT ON COLUMN model_calls.call_id IS 'The agent''s own name of the call, by which it is recorded once.';
COMMENT ON COLUMN model_calls.cached_tokens IS 'Those of the input tokens that the model had read before.';
COMMENT ON COLUMN model_calls.cache_write_tokens IS 'Those of the input tokens that the provider put into its cache; NULL for calls before schema 0014, and where it does not say.';
COMMENT ON COLUMN model_calls.estimated IS 'Whether the tokens are estimated, since the answer was cut off.';
COMMENT ON COLUMN model_calls.web_search IS 'Whether the model''s provider could search the web for it.';
COMMENT ON COLUMN model_calls.provider IS 'Which of the settings'' providers it went to; NULL for calls before schema 0011.';
COMMENT ON COLUMN model_calls.reasoning_tokens IS 'Those of the output tokens that the model thought; NULL for calls before schema 0035, and where the provider does not say.';
COMMENT ON COLUMN model_calls.stated_usd IS 'US dollars that the provider itself says the call costs; NULL where it does not.';
COMMENT ON COLUMN model_calls.cost_difference_usd IS 'US dollars by which stated_usd is above our own calculation; NULL where one of the two is not known.';
