WITH
buckets AS (
    SELECT unnest(generate_series(
        date_trunc(getvariable('bucket'), getvariable('since')),
        getvariable('until'),
        getvariable('step')
    )) AS bucket
),
moments AS (
    SELECT make_timestamp(epoch_us(planned_at)) AS moment, 'created' AS what FROM task_facts
    UNION ALL
    SELECT make_timestamp(epoch_us(ended_at)), status FROM task_facts WHERE ended_at IS NOT NULL
    UNION ALL
    SELECT make_timestamp(epoch_us(merged_at)), 'merged' FROM task_facts WHERE merged_at IS NOT NULL
),
counted AS (
    SELECT
        date_trunc(getvariable('bucket'), moment) AS bucket,
        count(*) FILTER (what = 'created') AS created,
        count(*) FILTER (what = 'succeeded') AS succeeded,
        count(*) FILTER (what = 'failed') AS failed,
        count(*) FILTER (what = 'cancelled') AS cancelled,
        count(*) FILTER (what = 'merged') AS merged
    FROM moments
    WHERE moment >= getvariable('since') AND moment <= getvariable('until')
    GROUP BY ALL
)
SELECT
    buckets.bucket,
    coalesce(counted.created, 0) AS created,
    coalesce(counted.succeeded, 0) AS succeeded,
    coalesce(counted.failed, 0) AS failed,
    coalesce(counted.cancelled, 0) AS cancelled,
    coalesce(counted.merged, 0) AS merged
FROM buckets
LEFT JOIN counted USING (bucket)
ORDER BY buckets.bucket
