SELECT
    repository,
    target,
    max(events) FILTER (span = '3 d') AS events,
    max(missed) FILTER (span = '3 d') AS missed,
    allowed,
    max(burn_rate) FILTER (span = '1 h') AS rate_1h,
    max(burn_rate) FILTER (span = '6 h') AS rate_6h,
    max(burn_rate) FILTER (span = '3 d') AS rate_3d
FROM target_burn_rates
GROUP BY repository, target, allowed
HAVING max(events) FILTER (span = '3 d') > 0
ORDER BY rate_3d DESC, repository, target
