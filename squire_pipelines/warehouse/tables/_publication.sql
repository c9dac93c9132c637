CREATE TABLE _publication (
    watermark BIGINT NOT NULL,
    published_at TIMESTAMPTZ NOT NULL,
    schema_version BIGINT NOT NULL
);
COMMENT ON TABLE _publication IS 'One row: what this file is.';
COMMENT ON COLUMN _publication.watermark IS 'The newest task_events.id when the ledger was read.';
COMMENT ON COLUMN _publication.published_at IS 'When the ledger was read, by its clock.';
COMMENT ON COLUMN _publication.schema_version IS 'Grows when tables or views change.';
