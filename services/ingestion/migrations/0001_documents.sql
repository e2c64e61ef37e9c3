-- The documents that were uploaded, every version of them until a later one was processed.
CREATE TABLE documents (
    tenant_id     TEXT   NOT NULL,
    document_id   TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    collection_id TEXT   NOT NULL,
    title         TEXT   NOT NULL,
    media_type    TEXT   NOT NULL,
    size_bytes    BIGINT NOT NULL,
    sha256        TEXT   NOT NULL,
    -- pending, running, completed, failed, timeout or cancelled
    status        TEXT   NOT NULL,
    chunks        BIGINT NOT NULL,
    error         TEXT   NOT NULL,
    task_id       TEXT   NOT NULL,
    -- Milliseconds since 1970.
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, document_id, version)
);

CREATE INDEX documents_by_collection ON documents (tenant_id, collection_id, created_at, document_id);
