CREATE VIEW time_to_merge AS
SELECT
    task_id,
    repository,
    kind,
    pr_number,
    pr_url,
    outcome,
    seen_at,
    planned_at,
    opened_at,
    merged_at,
    -- GitHub tells whole seconds by its own clock: what is merged at once may seem merged before.
    greatest(0, epoch(merged_at) - epoch(opened_at)) AS seconds_open,
    greatest(0, epoch(merged_at) - epoch(planned_at)) AS seconds_since_planned,
    CASE WHEN seen_at IS NOT NULL THEN greatest(0, epoch(merged_at) - epoch(seen_at)) END AS seconds_since_seen,
    epoch(planned_at) - epoch(seen_at) AS to_plan_s,
    epoch(ready_at) - epoch(planned_at) AS to_ready_s,
    epoch(queued_at) - epoch(ready_at) AS to_dispatch_s,
    epoch(claimed_at) - epoch(queued_at) AS to_claim_s,
    epoch(agent_started_at) - epoch(claimed_at) AS to_agent_s,
    epoch(agent_ended_at) - epoch(agent_started_at) AS agent_s,
    epoch(opened_at) - epoch(agent_ended_at) AS to_pull_request_s,
    greatest(0, epoch(merged_at) - epoch(opened_at)) AS to_merge_s,
    trace_id
FROM task_facts
WHERE merged_at IS NOT NULL;
COMMENT ON VIEW time_to_merge IS 'One row per merged pull request, reverted ones too: the seconds of each stage from the signal to the merge.';
COMMENT ON COLUMN time_to_merge.task_id IS 'tasks.id.';
COMMENT ON COLUMN time_to_merge.repository IS 'owner/name.';
COMMENT ON COLUMN time_to_merge.kind IS 'tasks.kind.';
COMMENT ON COLUMN time_to_merge.pr_number IS 'The pull request''s number.';
COMMENT ON COLUMN time_to_merge.pr_url IS 'The pull request''s page.';
COMMENT ON COLUMN time_to_merge.outcome IS 'merged or reverted.';
COMMENT ON COLUMN time_to_merge.seen_at IS 'When the first of its signals was seen; NULL when it answers none.';
COMMENT ON COLUMN time_to_merge.planned_at IS 'When it was planned.';
COMMENT ON COLUMN time_to_merge.opened_at IS 'When the pull request was opened.';
COMMENT ON COLUMN time_to_merge.merged_at IS 'When it was merged, by GitHub''s clock.';
COMMENT ON COLUMN time_to_merge.seconds_open IS 'Seconds from its opening to its merge.';
COMMENT ON COLUMN time_to_merge.seconds_since_planned IS 'Seconds from the plan to the merge.';
COMMENT ON COLUMN time_to_merge.seconds_since_seen IS 'Seconds from the signal to the merge.';
COMMENT ON COLUMN time_to_merge.to_plan_s IS 'Seconds from the signal to the plan.';
COMMENT ON COLUMN time_to_merge.to_ready_s IS 'Seconds from the plan to the approval.';
COMMENT ON COLUMN time_to_merge.to_dispatch_s IS 'Seconds from ready to the first dispatch.';
COMMENT ON COLUMN time_to_merge.to_claim_s IS 'Seconds until a run took it.';
COMMENT ON COLUMN time_to_merge.to_agent_s IS 'Seconds until the agent''s first start.';
COMMENT ON COLUMN time_to_merge.agent_s IS 'Seconds from the agent''s first start to its last end, retries and the waits between them included.';
COMMENT ON COLUMN time_to_merge.to_pull_request_s IS 'Seconds from the agent''s end to the pull request.';
COMMENT ON COLUMN time_to_merge.to_merge_s IS 'Seconds from the pull request to the merge.';
COMMENT ON COLUMN time_to_merge.trace_id IS 'The task''s.';
