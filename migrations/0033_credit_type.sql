-- Custom pricing units. The currencies are no rows: every environment has them.

CREATE TABLE credit_type (
    environment_id uuid NOT NULL REFERENCES environment,
    id             uuid NOT NULL,
    name           text NOT NULL,
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    archived_at    timestamptz,
    PRIMARY KEY (environment_id, id)
);

-- Two units in use never have one name; an archived one gives its name up.
CREATE UNIQUE INDEX credit_type_name_is_taken ON credit_type (environment_id, name) WHERE archived_at IS NULL;

CREATE INDEX credit_type_by_creation ON credit_type (environment_id, created_at, id) WHERE archived_at IS NULL;
