WITH
facts AS (
    SELECT
        *,
        make_timestamp(epoch_us(planned_at)) AS planned,
        make_timestamp(epoch_us(ended_at)) AS ended,
        make_timestamp(epoch_us(opened_at)) AS opened,
        make_timestamp(epoch_us(merged_at)) AS merged
    FROM task_facts
),
calls AS (
    SELECT
        count(*) AS model_calls,
        coalesce(sum(input_tokens), 0)::BIGINT AS input_tokens,
        coalesce(sum(output_tokens), 0)::BIGINT AS output_tokens,
        sum(cost_usd) AS cost_usd
    FROM model_calls
    WHERE
        make_timestamp(epoch_us(occurred_at)) >= getvariable('since')
        AND make_timestamp(epoch_us(occurred_at)) <= getvariable('until')
),
tries AS (
    SELECT
        count(*) AS attempts,
        count(*) FILTER (cause NOT IN ('completed', 'no_changes', 'cancelled')) AS failed_attempts
    FROM attempts
    WHERE
        make_timestamp(epoch_us(ended_at)) >= getvariable('since')
        AND make_timestamp(epoch_us(ended_at)) <= getvariable('until')
),
counted AS (
    SELECT
        count(*) FILTER (planned >= getvariable('since') AND planned <= getvariable('until')) AS created,
        count(*) FILTER (
            ended >= getvariable('since') AND ended <= getvariable('until') AND status = 'succeeded'
        ) AS succeeded,
        count(*) FILTER (
            ended >= getvariable('since') AND ended <= getvariable('until') AND status = 'failed'
        ) AS failed,
        count(*) FILTER (
            ended >= getvariable('since') AND ended <= getvariable('until') AND status = 'cancelled'
        ) AS cancelled,
        count(*) FILTER (status IN ('proposed', 'ready', 'running')) AS unfinished,
        count(*) FILTER (opened >= getvariable('since') AND opened <= getvariable('until')) AS pull_requests,
        count(*) FILTER (merged >= getvariable('since') AND merged <= getvariable('until')) AS merged,
        count(*) FILTER (
            merged >= getvariable('since') AND merged <= getvariable('until') AND outcome = 'merged'
        ) AS merged_for_good,
        count(*) FILTER (
            merged >= getvariable('since') AND merged <= getvariable('until') AND unchanged
        ) AS merged_unchanged,
        count(*) FILTER (
            merged >= getvariable('since') AND merged <= getvariable('until') AND unchanged IS NOT NULL
        ) AS merged_known,
        median(greatest(0, epoch(merged_at) - epoch(coalesce(seen_at, planned_at)))) FILTER (
            merged >= getvariable('since') AND merged <= getvariable('until')
        ) AS seconds_to_merge
    FROM facts
)
SELECT
    counted.created,
    counted.succeeded,
    counted.failed,
    counted.cancelled,
    counted.unfinished,
    counted.succeeded / nullif(counted.succeeded + counted.failed, 0)::DOUBLE AS success_rate,
    tries.attempts,
    tries.failed_attempts,
    counted.pull_requests,
    counted.merged,
    counted.merged_unchanged / nullif(counted.merged_known, 0)::DOUBLE AS merged_unchanged_rate,
    counted.seconds_to_merge,
    calls.model_calls,
    calls.input_tokens,
    calls.output_tokens,
    calls.cost_usd,
    calls.cost_usd / nullif(counted.merged_for_good, 0) AS cost_per_merged_pr
FROM counted, tries, calls
