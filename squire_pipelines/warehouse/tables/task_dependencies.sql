CREATE TABLE task_dependencies (
    task_id VARCHAR NOT NULL,
    depends_on VARCHAR NOT NULL
);
COMMENT ON TABLE task_dependencies IS 'Which task waits for which.';
COMMENT ON COLUMN task_dependencies.task_id IS 'The task that waits.';
COMMENT ON COLUMN task_dependencies.depends_on IS 'The task that has to succeed first.';
