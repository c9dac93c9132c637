CREATE VIEW quota_used AS
SELECT
    repository,
    source,
    make_timestamp(epoch_us(ended_at))::DATE AS day,
    count(*) AS readings,
    count(*) FILTER (status IN ('stale', 'failed')) AS failed,
    sum(requests)::BIGINT AS requests,
    sum(quota_cost)::BIGINT AS quota_cost,
    min(quota_remaining) AS least_remaining
FROM collections
GROUP BY repository, source, day;
COMMENT ON VIEW quota_used IS 'What reading the sources used of GitHub''s quota, per repository, source and day.';
COMMENT ON COLUMN quota_used.repository IS 'owner/name.';
COMMENT ON COLUMN quota_used.source IS 'What was read.';
COMMENT ON COLUMN quota_used.day IS 'The day, in UTC.';
COMMENT ON COLUMN quota_used.readings IS 'How many readings.';
COMMENT ON COLUMN quota_used.failed IS 'How many of them did not get an answer.';
COMMENT ON COLUMN quota_used.requests IS 'How many requests they made.';
COMMENT ON COLUMN quota_used.quota_cost IS 'Points of the quota.';
COMMENT ON COLUMN quota_used.least_remaining IS 'The fewest points that were left of the quota after a reading.';
