CREATE VIEW alert_history AS
SELECT
    rule,
    date_trunc('week', make_timestamp(epoch_us(began_at)))::DATE AS week,
    count(*) AS alerts,
    count(notified_at) AS notified,
    sum(notifications)::BIGINT AS notifications,
    count(*) FILTER (ended_at IS NULL) AS firing,
    avg(epoch(ended_at) - epoch(began_at)) AS mean_s,
    max(epoch(ended_at) - epoch(began_at)) AS longest_s,
    max(began_at) AS last_at,
    max_by(reason, began_at) AS last_reason
FROM alerts
GROUP BY rule, week;
COMMENT ON VIEW alert_history IS 'How often something was wrong and for how long, per rule and week.';
COMMENT ON COLUMN alert_history.rule IS 'The rule, as in the settings.';
COMMENT ON COLUMN alert_history.week IS 'The Monday of the week, in UTC, in which it began.';
COMMENT ON COLUMN alert_history.alerts IS 'How many alerts began.';
COMMENT ON COLUMN alert_history.notified IS 'Of how many somebody was notified: they lasted long enough, and were not silenced.';
COMMENT ON COLUMN alert_history.notifications IS 'How many messages they were in.';
COMMENT ON COLUMN alert_history.firing IS 'How many last.';
COMMENT ON COLUMN alert_history.mean_s IS 'Seconds that those lasted which are over, the mean.';
COMMENT ON COLUMN alert_history.longest_s IS 'Seconds that the longest of them lasted.';
COMMENT ON COLUMN alert_history.last_at IS 'When the newest began.';
COMMENT ON COLUMN alert_history.last_reason IS 'Why, in words.';
