CREATE VIEW delivery_effect_times AS
WITH
first_effects AS (
    SELECT
        delivery_effects.delivery,
        delivery_effects.effect,
        epoch(min(delivery_effects.occurred_at)) - epoch(min(deliveries.received_at)) AS seconds,
        min(deliveries.received_at) AS received_at
    FROM delivery_effects
    INNER JOIN deliveries ON deliveries.id = delivery_effects.delivery AND deliveries.replays = 0
    GROUP BY delivery_effects.delivery, delivery_effects.effect
)
SELECT
    make_timestamp(epoch_us(received_at))::DATE AS day,
    effect,
    count(*) AS deliveries,
    quantile_cont(seconds, 0.5) AS p50_s,
    quantile_cont(seconds, 0.95) AS p95_s,
    max(seconds) AS max_s
FROM first_effects
GROUP BY day, effect;
COMMENT ON VIEW delivery_effect_times IS 'How soon deliveries had each kind of effect, per day; without those that were replayed.';
COMMENT ON COLUMN delivery_effect_times.day IS 'The day, in UTC, on which they came.';
COMMENT ON COLUMN delivery_effect_times.effect IS 'What was done, as in delivery_effects.';
COMMENT ON COLUMN delivery_effect_times.deliveries IS 'How many had it.';
COMMENT ON COLUMN delivery_effect_times.p50_s IS 'Seconds from the delivery to the first effect of the kind, the median.';
COMMENT ON COLUMN delivery_effect_times.p95_s IS 'Seconds that 95 % stay below.';
COMMENT ON COLUMN delivery_effect_times.max_s IS 'Seconds, the longest.';
