CREATE TABLE attempt_facts (
    attempt_id VARCHAR NOT NULL,
    task_id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    kind VARCHAR,
    runner VARCHAR,
    model VARCHAR,
    prompt_version VARCHAR,
    week DATE NOT NULL,
    cause VARCHAR,
    failed BOOLEAN NOT NULL,
    ended_at TIMESTAMPTZ,
    queue_s DOUBLE,
    image_s DOUBLE,
    container_start_s DOUBLE,
    workspace_s DOUBLE,
    first_call_s DOUBLE,
    agent_s DOUBLE,
    after_s DOUBLE,
    agent_name VARCHAR,
    agent_kind VARCHAR,
    chosen_by VARCHAR
);
COMMENT ON TABLE attempt_facts IS 'One row per attempt, derived from the other tables at publication: its task, and the seconds that its parts took.';
COMMENT ON COLUMN attempt_facts.attempt_id IS 'attempts.id.';
COMMENT ON COLUMN attempt_facts.task_id IS 'tasks.id.';
COMMENT ON COLUMN attempt_facts.repository IS 'owner/name.';
COMMENT ON COLUMN attempt_facts.kind IS 'tasks.kind.';
COMMENT ON COLUMN attempt_facts.runner IS 'docker or local.';
COMMENT ON COLUMN attempt_facts.model IS 'The model that it used.';
COMMENT ON COLUMN attempt_facts.prompt_version IS 'The version of its prompt.';
COMMENT ON COLUMN attempt_facts.week IS 'The Monday of the week, in UTC, in which it was dispatched.';
COMMENT ON COLUMN attempt_facts.cause IS 'How it ended; NULL while it has not.';
COMMENT ON COLUMN attempt_facts.failed IS 'Whether it ended with a failure: neither completed nor no_changes, and not cancelled by a person.';
COMMENT ON COLUMN attempt_facts.ended_at IS 'When it was settled.';
COMMENT ON COLUMN attempt_facts.queue_s IS 'Seconds from its dispatch until its run took it.';
COMMENT ON COLUMN attempt_facts.image_s IS 'Seconds for the image to be there.';
COMMENT ON COLUMN attempt_facts.container_start_s IS 'Seconds to create and start its container; where the runner did not measure them, from the claim to the agent''s start.';
COMMENT ON COLUMN attempt_facts.workspace_s IS 'Seconds to bring the repository into the container.';
COMMENT ON COLUMN attempt_facts.first_call_s IS 'Seconds from the agent''s start until its first call to a model.';
COMMENT ON COLUMN attempt_facts.agent_s IS 'Seconds that the agent ran.';
COMMENT ON COLUMN attempt_facts.after_s IS 'Seconds from the agent''s end until the attempt was settled.';
COMMENT ON COLUMN attempt_facts.agent_name IS 'The agent''s name in the settings; NULL before schema 0012.';
COMMENT ON COLUMN attempt_facts.agent_kind IS 'The kind of the agent, for example codex; NULL before schema 0012.';
COMMENT ON COLUMN attempt_facts.chosen_by IS 'Why it got this agent: setting, rule, weight, order or fallback; NULL before schema 0012.';
