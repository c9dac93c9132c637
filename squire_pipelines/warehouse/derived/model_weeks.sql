SELECT
    provider,
    model,
    purpose,
    date_trunc('week', make_timestamp(epoch_us(occurred_at)))::DATE AS week,
    count(*) AS calls,
    count(*) FILTER (NOT ok) AS failed,
    quantile_cont(latency_s, 0.5) AS p50_s,
    quantile_cont(latency_s, 0.95) AS p95_s,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd,
    count(*) FILTER (ok AND cost_usd IS NULL) AS without_price
FROM model_calls
WHERE
    date_trunc('week', make_timestamp(epoch_us(occurred_at)))::DATE IN (
        SELECT week FROM touched_weeks WHERE repository IS NULL
    )
GROUP BY provider, model, purpose, week
ORDER BY week, provider, model, purpose
