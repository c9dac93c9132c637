CREATE VIEW episode_times AS
SELECT
    repository,
    kind,
    count(*) AS episodes,
    count(*) FILTER (number > 1) AS reopened,
    count(*) FILTER (closed_at IS NULL) AS open_now,
    sum(epoch(coalesce(closed_at, (SELECT published_at FROM _publication))) - epoch(opened_at)) AS open_s,
    quantile_cont(epoch(closed_at) - epoch(opened_at), 0.5) AS p50_s,
    max(epoch(coalesce(closed_at, (SELECT published_at FROM _publication))) - epoch(opened_at)) AS longest_s
FROM signal_episodes
GROUP BY repository, kind;
COMMENT ON VIEW episode_times IS 'How often facts of each kind came up in a repository, and how long they lasted.';
COMMENT ON COLUMN episode_times.repository IS 'owner/name.';
COMMENT ON COLUMN episode_times.kind IS 'The kind of fact.';
COMMENT ON COLUMN episode_times.episodes IS 'How often such a fact opened.';
COMMENT ON COLUMN episode_times.reopened IS 'How often one opened that had been gone.';
COMMENT ON COLUMN episode_times.open_now IS 'How many were open at the publication.';
COMMENT ON COLUMN episode_times.open_s IS 'Seconds in all; of open ones, until the publication.';
COMMENT ON COLUMN episode_times.p50_s IS 'Seconds that half of those which have ended lasted at most.';
COMMENT ON COLUMN episode_times.longest_s IS 'Seconds of the longest.';
