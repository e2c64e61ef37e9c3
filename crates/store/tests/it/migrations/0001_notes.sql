CREATE TABLE notes (
    tenant_id TEXT NOT NULL,
    note_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, note_id)
);
