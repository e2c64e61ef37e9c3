-- Times are milliseconds since 1970. On PostgreSQL, BLOB is BYTEA and the identifiers are COLLATE "C", so that lists have the
-- same order on both.

CREATE TABLE tenants (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    tier TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    -- Absent for an operator's key.
    tenant_id TEXT REFERENCES tenants (tenant_id),
    name TEXT NOT NULL,
    -- Separated by spaces.
    scopes TEXT NOT NULL,
    -- HMAC-SHA256 of the whole key under the pepper; the secret itself is kept nowhere.
    mac BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE collections (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
    collection_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, collection_id)
);

CREATE TABLE agents (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
    agent_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    slug TEXT NOT NULL,
    type TEXT NOT NULL,
    model TEXT NOT NULL,
    temperature DOUBLE PRECISION NOT NULL,
    max_tokens BIGINT NOT NULL,
    system_prompt TEXT NOT NULL,
    max_history_messages BIGINT NOT NULL,
    is_active BOOLEAN NOT NULL,
    minimum_tier TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id),
    UNIQUE (tenant_id, slug)
);

CREATE TABLE agent_collections (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    collection_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, position),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, agent_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, collection_id) REFERENCES collections (tenant_id, collection_id)
);
