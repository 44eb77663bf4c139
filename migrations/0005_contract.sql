CREATE TABLE contract (
    environment_id                 uuid NOT NULL,
    customer_id                    uuid NOT NULL,
    id                             uuid NOT NULL,
    name                           text,
    rate_card_id                   uuid,
    starting_at                    timestamptz NOT NULL,
    ending_before                  timestamptz,
    statement_frequency            text NOT NULL,
    statement_anchor               timestamptz NOT NULL,
    invoice_generation_starting_at timestamptz,
    net_payment_terms_days         numeric,
    total_contract_value           numeric,
    netsuite_sales_order_id        text,
    salesforce_opportunity_id      text,
    multiplier_override_prioritization text NOT NULL,
    uniqueness_key                 text,
    created_at                     timestamptz NOT NULL,
    created_by                     text NOT NULL,
    archived_at                    timestamptz,
    -- the first usage statement that is not finalized yet; null when none is left
    next_statement_at              timestamptz,
    PRIMARY KEY (environment_id, customer_id, id),
    FOREIGN KEY (environment_id, customer_id) REFERENCES customer,
    FOREIGN KEY (environment_id, rate_card_id) REFERENCES rate_card,
    CHECK (ending_before > starting_at)
);

CREATE INDEX contract_by_start ON contract (environment_id, customer_id, starting_at, created_at, id);
