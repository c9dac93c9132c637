CREATE VIEW refused_deliveries AS
SELECT
    make_timestamp(epoch_us(minute))::DATE AS day,
    source,
    status,
    reason,
    sum(count)::BIGINT AS refused,
    max(count) AS most_in_a_minute,
    max(minute) AS last_at
FROM delivery_refusals
GROUP BY day, source, status, reason;
COMMENT ON VIEW refused_deliveries IS 'Requests that the receiver refused, per day and reason.';
COMMENT ON COLUMN refused_deliveries.day IS 'The day, in UTC.';
COMMENT ON COLUMN refused_deliveries.source IS 'github, or the sender''s name in the path.';
COMMENT ON COLUMN refused_deliveries.status IS 'Of the answer.';
COMMENT ON COLUMN refused_deliveries.reason IS 'Why, in the receiver''s words.';
COMMENT ON COLUMN refused_deliveries.refused IS 'How many.';
COMMENT ON COLUMN refused_deliveries.most_in_a_minute IS 'The most of them in one minute.';
COMMENT ON COLUMN refused_deliveries.last_at IS 'The minute of the last.';
