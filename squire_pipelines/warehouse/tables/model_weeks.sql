CREATE TABLE model_weeks (
    provider VARCHAR,
    model VARCHAR NOT NULL,
    purpose VARCHAR NOT NULL,
    week DATE NOT NULL,
    calls BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    p50_s DOUBLE NOT NULL,
    p95_s DOUBLE NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_usd DOUBLE,
    without_price BIGINT NOT NULL
);
COMMENT ON TABLE model_weeks IS 'The rows of the view model_use, derived at publication.';
COMMENT ON COLUMN model_weeks.provider IS 'Which of the settings'' providers it is; NULL for calls before schema 0011.';
COMMENT ON COLUMN model_weeks.model IS 'The model''s name.';
COMMENT ON COLUMN model_weeks.purpose IS 'plan or agent.';
COMMENT ON COLUMN model_weeks.week IS 'The Monday of the week, in UTC, of the calls.';
COMMENT ON COLUMN model_weeks.calls IS 'How many calls.';
COMMENT ON COLUMN model_weeks.failed IS 'How many were not answered.';
COMMENT ON COLUMN model_weeks.p50_s IS 'Seconds until the answer was whole, the median.';
COMMENT ON COLUMN model_weeks.p95_s IS 'Seconds that 95 % stay below.';
COMMENT ON COLUMN model_weeks.input_tokens IS 'Tokens that the models read.';
COMMENT ON COLUMN model_weeks.output_tokens IS 'Tokens that they wrote.';
COMMENT ON COLUMN model_weeks.cost_usd IS 'US dollars for the calls whose price is known.';
COMMENT ON COLUMN model_weeks.without_price IS 'How many answered calls have no known price.';
