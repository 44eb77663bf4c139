-- Keys that objects of a type may carry, and the values that they do.

CREATE TABLE custom_field_key (
    environment_id     uuid NOT NULL REFERENCES environment,
    entity             text NOT NULL,
    key                text NOT NULL,
    enforce_uniqueness boolean NOT NULL,
    created_at         timestamptz NOT NULL,
    PRIMARY KEY (environment_id, entity, key)
);

CREATE TABLE custom_field_value (
    environment_id uuid NOT NULL,
    entity         text NOT NULL,
    entity_id      uuid NOT NULL,
    key            text NOT NULL,
    value          text NOT NULL,
    -- as the key says; a key never changes
    is_unique      boolean NOT NULL,
    PRIMARY KEY (environment_id, entity, entity_id, key),
    FOREIGN KEY (environment_id, entity, key) REFERENCES custom_field_key
);

CREATE UNIQUE INDEX custom_field_value_is_unique ON custom_field_value (environment_id, entity, key, value)
    WHERE is_unique;

-- For removing a key with its values.
CREATE INDEX custom_field_value_of_key ON custom_field_value (environment_id, entity, key);

-- An invoice by its id alone.
CREATE INDEX invoice_by_id ON invoice (environment_id, id);

-- A contract by its id alone.
CREATE INDEX contract_by_id ON contract (environment_id, id);

-- A scheduled charge by its id alone.
CREATE INDEX scheduled_charge_by_id ON scheduled_charge (environment_id, id);
