CREATE VIEW success_rate AS
SELECT
    repository,
    kind,
    model,
    prompt_version,
    week,
    tasks,
    succeeded,
    failed,
    cancelled,
    succeeded / nullif(succeeded + failed, 0)::DOUBLE AS success_rate,
    attempts,
    merged,
    decided,
    merged / nullif(decided, 0)::DOUBLE AS merge_rate,
    cost_usd
FROM success_weeks;
COMMENT ON VIEW success_rate IS 'How well the tasks went that are over, by repository, kind, model, prompt and week: sum up over what does not matter.';
COMMENT ON COLUMN success_rate.repository IS 'owner/name.';
COMMENT ON COLUMN success_rate.kind IS 'tasks.kind.';
COMMENT ON COLUMN success_rate.model IS 'The model of the last attempt.';
COMMENT ON COLUMN success_rate.prompt_version IS 'The version of the last attempt''s prompt.';
COMMENT ON COLUMN success_rate.week IS 'The Monday of the week, in UTC, in which the task ended.';
COMMENT ON COLUMN success_rate.tasks IS 'How many tasks.';
COMMENT ON COLUMN success_rate.succeeded IS 'How many of them succeeded.';
COMMENT ON COLUMN success_rate.failed IS 'How many failed.';
COMMENT ON COLUMN success_rate.cancelled IS 'How many were cancelled.';
COMMENT ON COLUMN success_rate.attempts IS 'How many attempts they took.';
COMMENT ON COLUMN success_rate.merged IS 'How many pull requests are merged for good.';
COMMENT ON COLUMN success_rate.decided IS 'How many pull requests are merged, closed or reverted.';
COMMENT ON COLUMN success_rate.cost_usd IS 'US dollars for the calls of all their attempts whose price is known.';
COMMENT ON COLUMN success_rate.success_rate IS 'Share, 0 to 1, of those that succeeded among those that succeeded or failed; NULL when there are none.';
COMMENT ON COLUMN success_rate.merge_rate IS 'Share, 0 to 1, merged for good among the pull requests that are decided; NULL when there are none.';
