-- Which of its customer's usage counts for a contract, from when on. Append-only: at an instant the filter is in force
-- that started last, of equal starts the one that was added last; before the first one all usage counts.
CREATE TABLE usage_filter (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    contract_id    uuid NOT NULL,
    added          bigint GENERATED ALWAYS AS IDENTITY,
    -- the contract's, which never changes: a change of the card asks for its filters
    rate_card_id   uuid,
    group_key      text NOT NULL,
    group_values   text[] NOT NULL CHECK (cardinality(group_values) > 0),
    starting_at    timestamptz NOT NULL,
    -- whether the contract was made with it
    is_initial     boolean NOT NULL,
    set_at         timestamptz NOT NULL,
    set_by         text NOT NULL,
    PRIMARY KEY (environment_id, customer_id, contract_id, added),
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract
);

CREATE INDEX usage_filter_of_rate_card ON usage_filter (environment_id, rate_card_id, customer_id, contract_id);

-- The last usage filter of the contract that the calculation saw; null where it saw none.
ALTER TABLE invoice ADD COLUMN seen_usage_filter bigint;
