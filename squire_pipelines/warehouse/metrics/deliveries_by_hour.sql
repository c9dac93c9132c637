CREATE VIEW deliveries_by_hour AS
WITH
first_effects AS (
    SELECT
        delivery,
        min(occurred_at) AS first_at
    FROM delivery_effects
    GROUP BY delivery
)
SELECT
    to_timestamp(floor(epoch(deliveries.received_at) / 3600) * 3600) AS hour,
    deliveries.source,
    deliveries.event,
    deliveries.repository,
    deliveries.sender,
    count(*) AS deliveries,
    count(*) FILTER (deliveries.filtered_by IS NOT NULL) AS filtered,
    count(*) FILTER (
        deliveries.filtered_by IS NULL
        AND (
            deliveries.set_aside_at IS NOT NULL
            OR (
                deliveries.error IS NOT NULL
                AND deliveries.collected_at IS NOT NULL
                AND deliveries.applied_at IS NOT NULL
            )
        )
    ) AS failed,
    count(first_effects.first_at) AS had_effects,
    quantile_cont(
        epoch(first_effects.first_at) - epoch(deliveries.received_at), 0.5
    ) FILTER (deliveries.replays = 0) AS effect_p50_s,
    quantile_cont(
        epoch(first_effects.first_at) - epoch(deliveries.received_at), 0.95
    ) FILTER (deliveries.replays = 0) AS effect_p95_s
FROM deliveries
LEFT JOIN first_effects ON first_effects.delivery = deliveries.id
GROUP BY hour, deliveries.source, deliveries.event, deliveries.repository, deliveries.sender;
COMMENT ON VIEW deliveries_by_hour IS 'Deliveries, and requests to read a repository, per hour, event, repository and sender: what became of them, and how soon they had their first effect.';
COMMENT ON COLUMN deliveries_by_hour.hour IS 'The hour''s beginning.';
COMMENT ON COLUMN deliveries_by_hour.source IS 'github, another sender''s name, or of requests cli, repair or installation.';
COMMENT ON COLUMN deliveries_by_hour.event IS 'The event, in the sender''s words.';
COMMENT ON COLUMN deliveries_by_hour.repository IS 'owner/name.';
COMMENT ON COLUMN deliveries_by_hour.sender IS 'The login of who caused them; NULL where that is not known.';
COMMENT ON COLUMN deliveries_by_hour.deliveries IS 'How many came.';
COMMENT ON COLUMN deliveries_by_hour.filtered IS 'How many of them a rule filtered.';
COMMENT ON COLUMN deliveries_by_hour.failed IS 'How many of them were given up with an error.';
COMMENT ON COLUMN deliveries_by_hour.had_effects IS 'How many of them have an effect.';
COMMENT ON COLUMN deliveries_by_hour.effect_p50_s IS 'Seconds from a delivery to its first effect, the median; without those that were replayed.';
COMMENT ON COLUMN deliveries_by_hour.effect_p95_s IS 'Seconds that 95 % of them stay below.';
