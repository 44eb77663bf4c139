-- Customers in more detail, and lists of them that stay quick at any number.

ALTER TABLE customer
    -- null: unset, what the billing provider's account says
    ADD COLUMN leave_stripe_invoices_in_draft boolean,
    -- a column of its own, because an index can be searched by it with a parameter
    ADD COLUMN is_archived boolean NOT NULL GENERATED ALWAYS AS (archived_at IS NOT NULL) STORED;

DROP INDEX customer_by_creation;
CREATE INDEX customer_by_creation ON customer (environment_id, is_archived, created_at, id);
CREATE INDEX customer_of_account ON customer (environment_id, salesforce_account_id, is_archived, created_at, id)
    WHERE salesforce_account_id IS NOT NULL;

-- Whether a customer's invoices go out: append-only; of the entries in force at an instant the one added last counts.
CREATE TABLE billable_status (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    added          bigint GENERATED ALWAYS AS IDENTITY,
    status         text NOT NULL CHECK (status IN ('billable', 'unbillable')),
    effective_at   timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    PRIMARY KEY (environment_id, customer_id, added),
    FOREIGN KEY (environment_id, customer_id) REFERENCES customer
);
