-- Turns that belong to no conversation. They are there for another attempt of their task, and for an hour.
CREATE TABLE loose_turns (
    tenant_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    -- A `SavedTurn`.
    turn BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, task_id)
);

CREATE INDEX loose_turns_by_age ON loose_turns (created_at);
