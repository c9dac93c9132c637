CREATE VIEW waited_for AS
WITH
turns AS (
    SELECT
        episode_id,
        change,
        waits_for,
        occurred_at AS began_at,
        lead(occurred_at, 1, (SELECT published_at FROM _publication)) OVER (
            PARTITION BY episode_id
            ORDER BY id
        ) AS ended_at,
        lead(id) OVER (PARTITION BY episode_id ORDER BY id) IS NULL AS lasts
    FROM signal_events
)
SELECT
    signal_episodes.repository,
    turns.waits_for AS login,
    signal_episodes.kind,
    count(DISTINCT signal_episodes.id) AS episodes,
    count(DISTINCT signal_episodes.id) FILTER (turns.lasts) AS waiting_now,
    sum(epoch(turns.ended_at) - epoch(turns.began_at)) AS waited_s,
    max(epoch(turns.ended_at) - epoch(turns.began_at)) AS longest_s
FROM turns
INNER JOIN signal_episodes ON turns.episode_id = signal_episodes.id
WHERE turns.change <> 'gone'
GROUP BY signal_episodes.repository, turns.waits_for, signal_episodes.kind;
COMMENT ON VIEW waited_for IS 'Whose turn it was, and for how long: authors of pull requests, or nobody in particular.';
COMMENT ON COLUMN waited_for.repository IS 'owner/name.';
COMMENT ON COLUMN waited_for.login IS 'Who had to act; NULL for nobody in particular.';
COMMENT ON COLUMN waited_for.kind IS 'The kind of fact that waited.';
COMMENT ON COLUMN waited_for.episodes IS 'How many episodes waited.';
COMMENT ON COLUMN waited_for.waiting_now IS 'How many of them did at the publication.';
COMMENT ON COLUMN waited_for.waited_s IS 'Seconds in all; each fact counts by itself.';
COMMENT ON COLUMN waited_for.longest_s IS 'Seconds of the longest wait without a change.';
