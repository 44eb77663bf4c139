-- Who may call, and whose data it is. Every tenant table names its environment.

CREATE TABLE environment (
    id        uuid PRIMARY KEY,
    kind      text NOT NULL UNIQUE CHECK (kind IN ('SANDBOX', 'PRODUCTION')),
    -- the sandbox clock; null is the real clock
    frozen_at timestamptz CHECK (frozen_at IS NULL OR kind = 'SANDBOX')
);

CREATE TABLE access_token (
    id             uuid PRIMARY KEY,
    environment_id uuid NOT NULL REFERENCES environment,
    name           text NOT NULL,
    role           text NOT NULL CHECK (role IN ('admin', 'writer', 'reader')),
    -- SHA-256 of the secret, which is shown once and never stored
    secret_hash    bytea NOT NULL UNIQUE,
    secret_prefix  text NOT NULL,
    created_at     timestamptz NOT NULL,
    archived_at    timestamptz
);

-- Keys that callers may use once, ever, for each kind of object.
CREATE TABLE uniqueness_key (
    environment_id uuid NOT NULL REFERENCES environment,
    resource       text NOT NULL,
    key            text NOT NULL,
    resource_id    uuid NOT NULL,
    PRIMARY KEY (environment_id, resource, key)
);
