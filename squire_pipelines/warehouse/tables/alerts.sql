CREATE TABLE alerts (
    id VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    hint VARCHAR NOT NULL,
    began_at TIMESTAMPTZ NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    cleared_at TIMESTAMPTZ,
    notified_at TIMESTAMPTZ,
    notified_severity VARCHAR,
    notifications BIGINT NOT NULL,
    ended_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE alerts IS 'A row for each time that something was wrong, also where it was over before anybody was notified.';
COMMENT ON COLUMN alerts.id IS 'Of this time; the same thing has another one when it is wrong again.';
COMMENT ON COLUMN alerts.key IS 'What was wrong: the rule and its subject.';
COMMENT ON COLUMN alerts.rule IS 'The rule, as in the settings.';
COMMENT ON COLUMN alerts.subject IS 'Of what: a condition with its machine, a repository, a budget.';
COMMENT ON COLUMN alerts.severity IS 'warning or critical, as it was last.';
COMMENT ON COLUMN alerts.reason IS 'Why, in words.';
COMMENT ON COLUMN alerts.hint IS 'What was to be done.';
COMMENT ON COLUMN alerts.began_at IS 'When it was seen first.';
COMMENT ON COLUMN alerts.seen_at IS 'When it was recorded last that it lasts.';
COMMENT ON COLUMN alerts.cleared_at IS 'Since when it was not seen any more; NULL while it is.';
COMMENT ON COLUMN alerts.notified_at IS 'When it was in a message last; NULL where it was in none.';
COMMENT ON COLUMN alerts.notified_severity IS 'The worst that a message said.';
COMMENT ON COLUMN alerts.notifications IS 'In how many messages it was, but for that of its end.';
COMMENT ON COLUMN alerts.ended_at IS 'When it was over; NULL while it lasts.';
COMMENT ON COLUMN alerts.updated_at IS 'When its row changed last, by the ledger''s clock.';
