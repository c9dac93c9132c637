SELECT
    date_trunc(getvariable('bucket'), make_timestamp(epoch_us(occurred_at))) AS bucket,
    model,
    count(*) AS calls,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd
FROM model_calls
WHERE
    make_timestamp(epoch_us(occurred_at)) >= getvariable('since')
    AND make_timestamp(epoch_us(occurred_at)) <= getvariable('until')
GROUP BY ALL
ORDER BY ALL
