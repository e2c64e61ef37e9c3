-- What a tenant's documents say, cut into chunks with a vector each.

-- A collection's revision grows with every change of what can be found in it; whoever keeps vectors in memory compares it.
CREATE TABLE indexed_collections (
    tenant_id     TEXT   NOT NULL,
    collection_id TEXT   NOT NULL,
    revision      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, collection_id)
);

-- The version of each document that can be found. `revision` is the collection's when the version appeared.
CREATE TABLE indexed_documents (
    tenant_id     TEXT   NOT NULL,
    document_id   TEXT   NOT NULL,
    collection_id TEXT   NOT NULL,
    title         TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    model         TEXT   NOT NULL,
    dimensions    BIGINT NOT NULL,
    chunks        BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, document_id)
);

CREATE INDEX indexed_documents_by_collection ON indexed_documents (tenant_id, collection_id);

-- Versions of which parts have arrived and the last one has not: nobody finds them yet.
CREATE TABLE arriving_versions (
    tenant_id     TEXT   NOT NULL,
    document_id   TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    collection_id TEXT   NOT NULL,
    model         TEXT   NOT NULL,
    dimensions    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, document_id, version)
);

-- Chunks of versions that can be found or are arriving. A vector is its components in order, f32 little-endian.
CREATE TABLE indexed_chunks (
    tenant_id   TEXT   NOT NULL,
    document_id TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    chunk_index BIGINT NOT NULL,
    text        TEXT   NOT NULL,
    start_at    BIGINT NOT NULL,
    end_at      BIGINT NOT NULL,
    vector      BLOB   NOT NULL,
    PRIMARY KEY (tenant_id, document_id, version, chunk_index)
);
