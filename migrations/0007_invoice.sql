-- Finalized invoices, stored whole. Drafts are never stored: they are computed when they are read.
CREATE TABLE invoice (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    id             uuid NOT NULL,
    contract_id    uuid NOT NULL,
    type           text NOT NULL,
    status         text NOT NULL CHECK (status IN ('FINALIZED', 'VOID')),
    credit_type_id uuid NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    issued_at      timestamptz NOT NULL,
    total          numeric NOT NULL,
    -- the invoice as it was finalized; everything above repeats it for filters
    document       json NOT NULL,
    finalized_at   timestamptz NOT NULL,
    -- what it was calculated from, so that it can be recomputed for ever: facts up to this arrival, of these
    -- subjects, at rates up to this one
    seen_arrival   bigint NOT NULL,
    seen_subjects  uuid[] NOT NULL,
    seen_rate      bigint,
    PRIMARY KEY (environment_id, customer_id, id),
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract
);

CREATE INDEX invoice_by_issue ON invoice (environment_id, customer_id, issued_at, id);
