CREATE TABLE customer (
    environment_id        uuid NOT NULL REFERENCES environment,
    id                    uuid NOT NULL,
    name                  text NOT NULL,
    salesforce_account_id text,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    archived_at           timestamptz,
    PRIMARY KEY (environment_id, id)
);

CREATE INDEX customer_by_creation ON customer (environment_id, created_at, id);

-- An alias names one customer at a time, archived ones included.
CREATE TABLE ingest_alias (
    environment_id uuid NOT NULL,
    alias          text NOT NULL,
    customer_id    uuid NOT NULL,
    position       integer NOT NULL,
    PRIMARY KEY (environment_id, alias),
    FOREIGN KEY (environment_id, customer_id) REFERENCES customer
);

CREATE INDEX ingest_alias_of_customer ON ingest_alias (environment_id, customer_id, position);
