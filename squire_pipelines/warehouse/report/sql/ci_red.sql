WITH
red AS (
    SELECT
        repository,
        signal ->> '$.details.branch' AS branch,
        coalesce((signal ->> '$.details.on_default_branch')::BOOLEAN, FALSE) AS on_default_branch,
        greatest(make_timestamp(epoch_us(first_seen_at)), getvariable('since')) AS began,
        least(coalesce(make_timestamp(epoch_us(gone_at)), getvariable('until')), getvariable('until')) AS done
    FROM signals
    WHERE kind = 'failed_ci'
),
ordered AS (
    SELECT
        *,
        max(done) OVER (
            PARTITION BY repository, branch, on_default_branch ORDER BY began, done ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS done_before
    FROM red
    WHERE began < done
),
-- Several checks may be red at once: a branch is red from the first of them until the last is gone.
numbered AS (
    SELECT
        *,
        count(*) FILTER (done_before IS NULL OR began > done_before) OVER (
            PARTITION BY repository, branch, on_default_branch ORDER BY began, done ROWS UNBOUNDED PRECEDING
        ) AS spell
    FROM ordered
),
spells AS (
    SELECT
        repository,
        on_default_branch,
        min(began) AS began,
        max(done) AS done
    FROM numbered
    GROUP BY repository, branch, on_default_branch, spell
),
buckets AS (
    SELECT unnest(generate_series(
        date_trunc(getvariable('bucket'), getvariable('since')),
        getvariable('until'),
        getvariable('step')
    )) AS bucket
)
SELECT
    buckets.bucket,
    spells.repository,
    spells.on_default_branch,
    sum(
        epoch(least(spells.done, buckets.bucket + getvariable('step'))) - epoch(greatest(spells.began, buckets.bucket))
    ) / 3600 AS hours
FROM buckets
INNER JOIN spells
    ON spells.began < buckets.bucket + getvariable('step') AND spells.done > buckets.bucket
GROUP BY ALL
ORDER BY ALL
