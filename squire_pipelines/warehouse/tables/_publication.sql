CREATE TABLE _publication (
    watermark BIGINT NOT NULL,
    published_at TIMESTAMPTZ NOT NULL,
    schema_version BIGINT NOT NULL,
    mode VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    ledger VARCHAR NOT NULL,
    tables_digest VARCHAR NOT NULL,
    full_at TIMESTAMPTZ NOT NULL,
    full_rows BIGINT NOT NULL,
    full_bytes BIGINT NOT NULL,
    additions BIGINT NOT NULL
);
COMMENT ON TABLE _publication IS 'One row: what this file is.';
COMMENT ON COLUMN _publication.watermark IS 'The newest task_events.id when the ledger was read.';
COMMENT ON COLUMN _publication.published_at IS 'When the ledger was read, by its clock.';
COMMENT ON COLUMN _publication.schema_version IS 'Grows when tables or views change.';
COMMENT ON COLUMN _publication.mode IS 'incremental or full: how the file was made.';
COMMENT ON COLUMN _publication.reason IS 'Why it was made that way.';
COMMENT ON COLUMN _publication.ledger IS 'A digest of the ledger''s address: a file of another ledger is not added to.';
COMMENT ON COLUMN _publication.tables_digest IS 'A digest of the definitions of all tables: a file with others is not added to.';
COMMENT ON COLUMN _publication.full_at IS 'When everything was read the last time.';
COMMENT ON COLUMN _publication.full_rows IS 'How many rows there were then.';
COMMENT ON COLUMN _publication.full_bytes IS 'How large the file was then, in bytes.';
COMMENT ON COLUMN _publication.additions IS 'How many publications have added to the file since then.';
