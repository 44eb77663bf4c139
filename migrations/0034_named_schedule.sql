-- Values that change over time under a name, on rate cards, customers and contracts. Nothing here reads them.

CREATE TABLE named_schedule (
    environment_id uuid NOT NULL REFERENCES environment,
    -- a digest of what it is on, its name and its properties
    id             uuid NOT NULL,
    rate_card_id   uuid,
    customer_id    uuid,
    -- of the customer
    contract_id    uuid,
    name           text NOT NULL,
    properties     jsonb NOT NULL,
    PRIMARY KEY (environment_id, id),
    FOREIGN KEY (environment_id, rate_card_id) REFERENCES rate_card,
    FOREIGN KEY (environment_id, customer_id) REFERENCES customer,
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract,
    CHECK ((rate_card_id IS NULL) <> (customer_id IS NULL)),
    CHECK (contract_id IS NULL OR customer_id IS NOT NULL)
);

CREATE INDEX named_schedule_of_customer ON named_schedule (environment_id, customer_id, contract_id, name, id);

CREATE TABLE named_schedule_segment (
    environment_id uuid NOT NULL,
    schedule_id    uuid NOT NULL,
    starting_at    timestamptz NOT NULL,
    ending_before  timestamptz,
    -- json, not jsonb: the text stays as it came, every digit of it
    value          json NOT NULL,
    PRIMARY KEY (environment_id, schedule_id, starting_at),
    FOREIGN KEY (environment_id, schedule_id) REFERENCES named_schedule,
    CHECK (ending_before > starting_at),
    CONSTRAINT named_schedule_segments_never_overlap EXCLUDE USING gist (
        environment_id WITH =, schedule_id WITH =, tstzrange(starting_at, ending_before) WITH &&
    )
);
