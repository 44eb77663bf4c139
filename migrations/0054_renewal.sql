-- Append-only: which contract renewed which. What it took over of commits and credits are balances with an origin.
CREATE TABLE contract_renewal (
    environment_id   uuid NOT NULL,
    customer_id      uuid NOT NULL,
    from_contract_id uuid NOT NULL,
    to_contract_id   uuid NOT NULL,
    made_at          timestamptz NOT NULL,
    PRIMARY KEY (environment_id, customer_id, to_contract_id),
    FOREIGN KEY (environment_id, customer_id, from_contract_id) REFERENCES contract,
    FOREIGN KEY (environment_id, customer_id, to_contract_id) REFERENCES contract,
    CHECK (from_contract_id <> to_contract_id)
);

CREATE INDEX contract_renewal_by_from ON contract_renewal (environment_id, customer_id, from_contract_id);

-- Every calculation of a customer's invoices asks for what renewals took over; mostly nothing.
CREATE INDEX balance_taken_over ON balance (environment_id, customer_id) WHERE origin_id IS NOT NULL;
