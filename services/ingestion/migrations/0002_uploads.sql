-- An upload that is sent again comes with the task of the first one, and is found by it.
CREATE UNIQUE INDEX documents_by_task ON documents (tenant_id, task_id);
