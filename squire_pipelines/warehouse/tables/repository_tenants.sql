CREATE TABLE repository_tenants (
    repository VARCHAR NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ,
    tenant VARCHAR NOT NULL
);
COMMENT ON TABLE repository_tenants IS 'Whose each repository is and was, where the settings have tenants. Without them it is empty.';
COMMENT ON COLUMN repository_tenants.repository IS 'owner/name, or group:NAME of the plans of several.';
COMMENT ON COLUMN repository_tenants.since IS 'From when on; the first time of a repository begins before everything.';
COMMENT ON COLUMN repository_tenants.until IS 'Until when; NULL while it is.';
COMMENT ON COLUMN repository_tenants.tenant IS 'The tenant''s name; default is the house.';
