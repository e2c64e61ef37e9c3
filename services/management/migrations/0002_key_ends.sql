-- Keys may end by themselves, and may be replaced by others.

ALTER TABLE api_keys ADD COLUMN expires_at BIGINT;

-- Public part of the key that was made in its place.
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT;

CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id, key_id);
