CREATE VIEW pull_request_lives AS
WITH
steps AS (
    SELECT
        task_id,
        opened_at AS begun_at,
        0 AS id,
        'waiting_for_ci' AS state
    FROM outcomes
    UNION ALL
    SELECT
        task_events.task_id,
        greatest(task_events.occurred_at, outcomes.opened_at),
        task_events.id,
        task_events.after
    FROM task_events
    INNER JOIN outcomes ON outcomes.task_id = task_events.task_id
    WHERE task_events.subject = 'follow'
),
ends AS (
    SELECT
        task_id,
        CASE WHEN state <> 'open' THEN coalesce(merged_at, closed_at) END AS ended_at
    FROM outcomes
),
spans AS (
    -- Squire hears of an end later than it was: nobody was waited for in between.
    SELECT
        steps.task_id,
        steps.state,
        steps.begun_at,
        greatest(
            steps.begun_at,
            least(
                ends.ended_at,
                lead(steps.begun_at, 1, (SELECT published_at FROM _publication)) OVER (
                    PARTITION BY steps.task_id ORDER BY steps.begun_at, steps.id
                )
            )
        ) AS left_at
    FROM steps
    INNER JOIN ends ON ends.task_id = steps.task_id
),
waits AS (
    SELECT
        task_id,
        min(begun_at) FILTER (state = 'answering') AS answering_at,
        min(begun_at) FILTER (state IN ('waiting_for_review', 'waiting_for_merge')) AS ready_at,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'waiting_for_ci') AS ci_s,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'fixing') AS fixing_s,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'answering') AS answering_s,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'updating') AS updating_s,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'waiting_for_review') AS review_s,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'waiting_for_merge') AS merge_s,
        sum(epoch(left_at) - epoch(begun_at)) FILTER (state = 'handed_over') AS handed_over_s
    FROM spans
    GROUP BY task_id
),
work AS (
    SELECT
        repository,
        base_branch,
        count(*) FILTER (spec ->> '$.follow_up.kind' = 'checks') AS fixes,
        count(*) FILTER (spec ->> '$.follow_up.kind' = 'remarks') AS rounds,
        count(*) FILTER (spec ->> '$.follow_up.kind' NOT IN ('checks', 'remarks')) AS other_work
    FROM tasks
    WHERE spec ->> '$.follow_up.kind' IS NOT NULL AND status <> 'cancelled'
    GROUP BY repository, base_branch
)
SELECT
    outcomes.task_id,
    outcomes.repository,
    outcomes.pr_number,
    outcomes.pr_url,
    outcomes.follow_state AS state,
    outcomes.ending,
    outcomes.ending_reason,
    outcomes.opened_at,
    coalesce(outcomes.reviewed_at, waits.answering_at) AS first_review_at,
    ends.ended_at,
    -- GitHub tells whole seconds by its own clock: what comes at once may seem to come before.
    CASE
        WHEN outcomes.reviewed_at IS NOT NULL OR waits.answering_at IS NOT NULL
            THEN greatest(
                0, epoch(coalesce(outcomes.reviewed_at, waits.answering_at)) - epoch(outcomes.opened_at)
            )
    END AS to_first_review_s,
    epoch(waits.ready_at) - epoch(outcomes.opened_at) AS to_ready_s,
    CASE
        WHEN ends.ended_at IS NOT NULL THEN greatest(0, epoch(ends.ended_at) - epoch(outcomes.opened_at))
    END AS to_end_s,
    coalesce(work.fixes, 0) AS fixes,
    coalesce(work.rounds, 0) AS rounds,
    coalesce(work.other_work, 0) AS other_work,
    outcomes.reviews,
    coalesce(waits.ci_s, 0) AS waiting_for_ci_s,
    coalesce(waits.fixing_s, 0) AS fixing_s,
    coalesce(waits.answering_s, 0) AS answering_s,
    coalesce(waits.updating_s, 0) AS updating_s,
    coalesce(waits.review_s, 0) AS waiting_for_review_s,
    coalesce(waits.merge_s, 0) AS waiting_for_merge_s,
    coalesce(waits.handed_over_s, 0) AS handed_over_s,
    (coalesce(waits.review_s, 0) + coalesce(waits.merge_s, 0) + coalesce(waits.handed_over_s, 0)) / 60
        AS people_waited_for_min,
    outcomes.people_commits,
    outcomes.people_added + outcomes.people_removed AS people_lines,
    outcomes.trace_id
FROM outcomes
LEFT JOIN ends ON ends.task_id = outcomes.task_id
LEFT JOIN waits ON waits.task_id = outcomes.task_id
LEFT JOIN tasks ON tasks.id = outcomes.task_id
LEFT JOIN work ON work.repository = tasks.repository AND work.base_branch = tasks.branch;
COMMENT ON VIEW pull_request_lives IS 'One row per pull request of ours: where it stands or how it ended, the rounds of work on it, and how long it waited for what.';
COMMENT ON COLUMN pull_request_lives.task_id IS 'tasks.id of the task that opened it.';
COMMENT ON COLUMN pull_request_lives.repository IS 'owner/name.';
COMMENT ON COLUMN pull_request_lives.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN pull_request_lives.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN pull_request_lives.state IS 'outcomes.follow_state.';
COMMENT ON COLUMN pull_request_lives.ending IS 'outcomes.ending.';
COMMENT ON COLUMN pull_request_lives.ending_reason IS 'How that is known, in words.';
COMMENT ON COLUMN pull_request_lives.opened_at IS 'When it was opened.';
COMMENT ON COLUMN pull_request_lives.first_review_at IS 'When the first review of somebody else was submitted; of one that is open, when Squire began to answer the first remark.';
COMMENT ON COLUMN pull_request_lives.ended_at IS 'When it was merged or closed, by GitHub''s clock; NULL while it is open.';
COMMENT ON COLUMN pull_request_lives.to_first_review_s IS 'Seconds from its opening to the first review; NULL where there was none.';
COMMENT ON COLUMN pull_request_lives.to_ready_s IS 'Seconds from its opening until it first waited for people alone, for a review or the merge; NULL where it never did.';
COMMENT ON COLUMN pull_request_lives.to_end_s IS 'Seconds from its opening to its merge or close; NULL while it is open.';
COMMENT ON COLUMN pull_request_lives.fixes IS 'Tasks that mended its checks.';
COMMENT ON COLUMN pull_request_lives.rounds IS 'Tasks that answered remarks, each a round.';
COMMENT ON COLUMN pull_request_lives.other_work IS 'Other tasks that Squire gave itself on it.';
COMMENT ON COLUMN pull_request_lives.reviews IS 'Reviews of others, at most 100; NULL until it has ended.';
COMMENT ON COLUMN pull_request_lives.waiting_for_ci_s IS 'Seconds for which it waited for its checks, until the publication for one that is open.';
COMMENT ON COLUMN pull_request_lives.fixing_s IS 'Seconds for which an agent mended its checks.';
COMMENT ON COLUMN pull_request_lives.answering_s IS 'Seconds for which an agent answered remarks.';
COMMENT ON COLUMN pull_request_lives.updating_s IS 'Seconds for which it was brought up to date with its base, or a conflict was resolved.';
COMMENT ON COLUMN pull_request_lives.waiting_for_review_s IS 'Seconds for which it waited for a review or an approval.';
COMMENT ON COLUMN pull_request_lives.waiting_for_merge_s IS 'Seconds for which it waited for nothing but its merge; where Squire merges it, for the conditions of the settings, too.';
COMMENT ON COLUMN pull_request_lives.handed_over_s IS 'Seconds for which it was left to people.';
COMMENT ON COLUMN pull_request_lives.people_waited_for_min IS 'Minutes for which people were waited for: for a review, for the merge, and after it was left to them.';
COMMENT ON COLUMN pull_request_lives.people_commits IS 'Commits of others that were merged with it.';
COMMENT ON COLUMN pull_request_lives.people_lines IS 'Lines that these added and removed.';
COMMENT ON COLUMN pull_request_lives.trace_id IS 'The task''s.';
