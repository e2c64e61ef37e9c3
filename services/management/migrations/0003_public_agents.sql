-- Whether anybody may talk to an agent, and limits of its own; 0 is no limit.
ALTER TABLE agents ADD COLUMN is_public BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE agents ADD COLUMN per_minute BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN per_hour BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN per_day BIGINT NOT NULL DEFAULT 0;

-- Tenants by how their ids read in a host name.
CREATE INDEX tenants_by_host ON tenants (REPLACE(LOWER(tenant_id), '_', '-'));
