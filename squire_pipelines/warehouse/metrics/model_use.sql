CREATE VIEW model_use AS
SELECT
    provider,
    model,
    purpose,
    week,
    calls,
    failed,
    p50_s,
    p95_s,
    input_tokens,
    output_tokens,
    cost_usd,
    without_price
FROM model_weeks;
COMMENT ON VIEW model_use IS 'How fast the models answered and what they cost, per provider, model, purpose and week.';
COMMENT ON COLUMN model_use.provider IS 'Which of the settings'' providers it is; NULL for calls before schema 0011.';
COMMENT ON COLUMN model_use.model IS 'The model''s name.';
COMMENT ON COLUMN model_use.purpose IS 'plan or agent.';
COMMENT ON COLUMN model_use.week IS 'The Monday of the week, in UTC, of the calls.';
COMMENT ON COLUMN model_use.calls IS 'How many calls.';
COMMENT ON COLUMN model_use.failed IS 'How many were not answered.';
COMMENT ON COLUMN model_use.p50_s IS 'Seconds until the answer was whole, the median.';
COMMENT ON COLUMN model_use.p95_s IS 'Seconds that 95 % stay below.';
COMMENT ON COLUMN model_use.input_tokens IS 'Tokens that the models read.';
COMMENT ON COLUMN model_use.output_tokens IS 'Tokens that they wrote.';
COMMENT ON COLUMN model_use.cost_usd IS 'US dollars for the calls whose price is known.';
COMMENT ON COLUMN model_use.without_price IS 'How many answered calls have no known price.';
