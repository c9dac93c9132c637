CREATE TABLE held_back (
    repository VARCHAR,
    task_id VARCHAR,
    scope VARCHAR NOT NULL,
    shortage VARCHAR NOT NULL
);
COMMENT ON TABLE held_back IS 'Which ready tasks a used-up budget blocks at the time of the publication: all of a repository, or one.';
COMMENT ON COLUMN held_back.repository IS 'owner/name, where all its ready tasks wait; else empty.';
COMMENT ON COLUMN held_back.task_id IS 'tasks.id, where this task''s own budget is used up; else empty.';
COMMENT ON COLUMN held_back.scope IS 'Whose budget: task, repository, day or month.';
COMMENT ON COLUMN held_back.shortage IS 'The budget in words, with what is used of it.';
