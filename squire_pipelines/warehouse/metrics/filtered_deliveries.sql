CREATE VIEW filtered_deliveries AS
SELECT
    make_timestamp(epoch_us(received_at))::DATE AS day,
    filtered_by AS rule,
    event,
    repository,
    count(*) AS filtered,
    max(received_at) AS last_at
FROM deliveries
WHERE filtered_by IS NOT NULL
GROUP BY day, rule, event, repository;
COMMENT ON VIEW filtered_deliveries IS 'Deliveries that the settings'' rules filtered, per day, rule, event and repository.';
COMMENT ON COLUMN filtered_deliveries.day IS 'The day, in UTC, on which they came.';
COMMENT ON COLUMN filtered_deliveries.rule IS 'The rule''s name; squire:own is the one that is always there.';
COMMENT ON COLUMN filtered_deliveries.event IS 'The event.';
COMMENT ON COLUMN filtered_deliveries.repository IS 'owner/name.';
COMMENT ON COLUMN filtered_deliveries.filtered IS 'How many.';
COMMENT ON COLUMN filtered_deliveries.last_at IS 'When the last one came.';
