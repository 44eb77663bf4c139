-- What surrounds every change: who may make it, the record that it was made, and its answer for a repeat.

-- Null: no restriction.
ALTER TABLE access_token ADD COLUMN endpoints text[];
ALTER TABLE access_token ADD COLUMN networks text[];
ALTER TABLE access_token ADD COLUMN expires_at timestamptz;

-- Append-only. Numbers are drawn under a shared lock that is held until the commit, so whoever holds the lock alone
-- knows that no smaller number is still to come.
CREATE TABLE audit_log (
    environment_id uuid NOT NULL REFERENCES environment,
    number         bigint GENERATED ALWAYS AS IDENTITY,
    id             uuid NOT NULL,
    recorded_at    timestamptz NOT NULL,
    -- the token, or null for due work and the command line
    actor_id       uuid,
    actor_name     text NOT NULL,
    request_id     text NOT NULL,
    ip             text,
    user_agent     text,
    resource_type  text NOT NULL,
    resource_id    text,
    action         text NOT NULL,
    status         text NOT NULL CHECK (status IN ('success', 'failure')),
    description    text NOT NULL,
    PRIMARY KEY (environment_id, number)
);

CREATE INDEX audit_log_of_resource ON audit_log (environment_id, resource_type, resource_id, number);
CREATE INDEX audit_log_by_time ON audit_log (environment_id, recorded_at, number);

-- Answers to requests that carried an Idempotency-Key, by the real clock.
CREATE TABLE idempotency_key (
    environment_id uuid NOT NULL REFERENCES environment,
    key            text NOT NULL,
    -- SHA-256 of method, path, query and body
    fingerprint    bytea NOT NULL,
    status         smallint NOT NULL,
    content_type   text,
    body           bytea NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (environment_id, key)
);

CREATE INDEX idempotency_key_by_age ON idempotency_key (created_at);
