SELECT
    repository,
    count(*) FILTER (status = 'succeeded') AS succeeded,
    count(*) FILTER (status = 'failed') AS failed,
    count(*) FILTER (status = 'succeeded') / count(*)::DOUBLE AS rate
FROM task_facts
WHERE
    status IN ('succeeded', 'failed')
    AND make_timestamp(epoch_us(ended_at)) >= getvariable('since')
    AND make_timestamp(epoch_us(ended_at)) <= getvariable('until')
GROUP BY repository
ORDER BY count(*) DESC, repository
