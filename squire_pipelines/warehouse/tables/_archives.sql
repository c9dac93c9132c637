CREATE TABLE _archives (
    table_name VARCHAR NOT NULL,
    name VARCHAR NOT NULL
);
COMMENT ON TABLE _archives IS 'The files of the archive that are in this file.';
COMMENT ON COLUMN _archives.table_name IS 'The table that its rows are of.';
COMMENT ON COLUMN _archives.name IS 'The file''s name within the table''s folder.';
