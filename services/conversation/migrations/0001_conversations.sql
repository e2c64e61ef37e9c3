-- Times are milliseconds since 1970. On PostgreSQL, BLOB is BYTEA and the identifiers are COLLATE "C".

-- A conversation is one tenant's with one agent: the same id used with another agent is another conversation.
CREATE TABLE conversations (
    tenant_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    -- Empty when unknown.
    session_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, conversation_id, agent_id)
);

CREATE TABLE turns (
    tenant_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    turn_number BIGINT NOT NULL,
    -- What the service that saved the turn keeps with it.
    result BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, task_id),
    FOREIGN KEY (tenant_id, conversation_id, agent_id)
        REFERENCES conversations (tenant_id, conversation_id, agent_id)
);

CREATE INDEX turns_of_conversation ON turns (tenant_id, conversation_id, agent_id, turn_number);

-- What orders messages is repeated from the turn, so that a page of them is one range of the index.
CREATE TABLE messages (
    tenant_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    task_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    turn_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- 0 for the question, 1 for the answer.
    position BIGINT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    model_used TEXT NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, message_id),
    FOREIGN KEY (tenant_id, task_id) REFERENCES turns (tenant_id, task_id)
);

CREATE INDEX messages_in_order
    ON messages (tenant_id, conversation_id, turn_number, created_at, task_id, position);
