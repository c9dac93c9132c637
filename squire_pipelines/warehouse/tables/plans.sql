CREATE TABLE plans (
    id VARCHAR NOT NULL,
    repository VARCHAR NOT NULL,
    planner VARCHAR NOT NULL,
    signals_digest VARCHAR NOT NULL,
    plan JSON NOT NULL,
    findings JSON NOT NULL,
    passed BOOLEAN NOT NULL,
    tasks_proposed BIGINT NOT NULL,
    tasks_created BIGINT,
    trace_id VARCHAR NOT NULL,
    run_id VARCHAR,
    created_at TIMESTAMPTZ NOT NULL,
    admitted_at TIMESTAMPTZ,
    model VARCHAR,
    provider VARCHAR,
    prompt_version VARCHAR,
    provisional BOOLEAN NOT NULL,
    model_failures BIGINT NOT NULL,
    ask_again_at TIMESTAMPTZ,
    settings_digest VARCHAR,
    asks BIGINT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cost_usd DOUBLE,
    latency_s DOUBLE,
    cache_hit BOOLEAN,
    failures BIGINT NOT NULL,
    failure VARCHAR,
    failed_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE plans IS 'Every plan, those that did not pass their checks too.';
COMMENT ON COLUMN plans.id IS 'The plan''s id; sorts by time of creation.';
COMMENT ON COLUMN plans.repository IS 'owner/name, or group:NAME of a plan over several repositories.';
COMMENT ON COLUMN plans.planner IS 'rules, or llm:<model>.';
COMMENT ON COLUMN plans.signals_digest IS 'What the planner saw.';
COMMENT ON COLUMN plans.plan IS 'The whole plan.';
COMMENT ON COLUMN plans.findings IS 'What its checks found; an empty list when it passed.';
COMMENT ON COLUMN plans.passed IS 'Whether its checks found nothing.';
COMMENT ON COLUMN plans.tasks_proposed IS 'How many tasks it has.';
COMMENT ON COLUMN plans.tasks_created IS 'How many of them became new tasks.';
COMMENT ON COLUMN plans.trace_id IS 'Links it to the reading that it was made from.';
COMMENT ON COLUMN plans.run_id IS 'The Dagster run that made it.';
COMMENT ON COLUMN plans.created_at IS 'When it was made.';
COMMENT ON COLUMN plans.admitted_at IS 'When its tasks were created.';
COMMENT ON COLUMN plans.model IS 'The model that planned; NULL for rules.';
COMMENT ON COLUMN plans.provider IS 'Which of the settings'' providers answered; NULL for rules, and for plans before schema 0014.';
COMMENT ON COLUMN plans.prompt_version IS 'The version of the planner''s prompt.';
COMMENT ON COLUMN plans.provisional IS 'Whether rules planned since the model did not come to answer, which is asked again.';
COMMENT ON COLUMN plans.model_failures IS 'How often in a row the model gave no plan; 0 where it did, or was not asked.';
COMMENT ON COLUMN plans.ask_again_at IS 'When the plan is made again; NULL when only a change is a reason to.';
COMMENT ON COLUMN plans.settings_digest IS 'By which goals, model, prompt and filters it was made; NULL before schema 0016.';
COMMENT ON COLUMN plans.asks IS 'How many requests a model answered for it; NULL where none was asked.';
COMMENT ON COLUMN plans.input_tokens IS 'What the model was sent for it, all requests together.';
COMMENT ON COLUMN plans.output_tokens IS 'What the model answered for it, all requests together.';
COMMENT ON COLUMN plans.cost_usd IS 'What they cost in US dollars; NULL when a price is not known.';
COMMENT ON COLUMN plans.latency_s IS 'How long they took together, in seconds.';
COMMENT ON COLUMN plans.cache_hit IS 'Whether the answer to the same question was taken, and nothing asked; NULL where no model was to plan.';
COMMENT ON COLUMN plans.failures IS 'How often in a row the next plan could not be made after it.';
COMMENT ON COLUMN plans.failure IS 'Why the last of these could not; NULL where none failed.';
COMMENT ON COLUMN plans.failed_at IS 'When the first of these failed.';
COMMENT ON COLUMN plans.updated_at IS 'When its row changed last, by the ledger''s clock.';
