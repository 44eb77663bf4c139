-- Work that becomes due at an instant of its environment's clock. One row is one step; a step that leads to a next
-- one moves its own row. A plain table: workers lease rows with FOR UPDATE SKIP LOCKED.

CREATE TABLE due_work (
    environment_id uuid NOT NULL REFERENCES environment,
    kind           text NOT NULL,
    subject_id     uuid NOT NULL,
    customer_id    uuid NOT NULL,
    due_at         timestamptz NOT NULL,
    -- after a failure: how often, why, and the real time of the next try
    attempts       integer NOT NULL DEFAULT 0,
    last_error     text,
    retry_at       timestamptz,
    PRIMARY KEY (environment_id, kind, subject_id)
);

CREATE INDEX due_work_in_time_order ON due_work (environment_id, due_at, kind, subject_id);
