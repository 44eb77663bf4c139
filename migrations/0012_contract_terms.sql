-- The end of a contract may move, and contracts have scheduled charges.

-- Statements before this instant are finalized; the next one starts here. It only grows, so that an end that moves
-- back and forth neither bills a day twice nor leaves one out.
ALTER TABLE contract ADD COLUMN finalized_until timestamptz;
UPDATE contract SET finalized_until = coalesce(
    next_statement_at,
    greatest(starting_at, invoice_generation_starting_at,
             (SELECT max(ends_at) FROM invoice
              WHERE invoice.environment_id = contract.environment_id AND invoice.customer_id = contract.customer_id
                AND invoice.contract_id = contract.id AND invoice.type = 'USAGE'))
);
ALTER TABLE contract ALTER COLUMN finalized_until SET NOT NULL;
ALTER TABLE contract DROP COLUMN next_statement_at;

-- The end as it was agreed first; every later one is a row of contract_end_change.
ALTER TABLE contract ADD COLUMN initial_ending_before timestamptz;
UPDATE contract SET initial_ending_before = ending_before;

ALTER TABLE contract ADD COLUMN scheduled_charges_on_usage_invoices text
    CHECK (scheduled_charges_on_usage_invoices IN ('ALL'));

CREATE INDEX invoice_of_contract ON invoice (environment_id, customer_id, contract_id, ends_at);

-- Append-only: what the end was changed to, and when that was known.
CREATE TABLE contract_end_change (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    contract_id    uuid NOT NULL,
    added          bigint GENERATED ALWAYS AS IDENTITY,
    -- null: open-ended
    ending_before  timestamptz,
    changed_at     timestamptz NOT NULL,
    changed_by     text NOT NULL,
    PRIMARY KEY (environment_id, customer_id, contract_id, added),
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract
);

-- In the order of their ids, as the contract brought them.
CREATE TABLE scheduled_charge (
    environment_id          uuid NOT NULL,
    customer_id             uuid NOT NULL,
    contract_id             uuid NOT NULL,
    id                      uuid NOT NULL,
    product_id              uuid NOT NULL,
    name                    text,
    credit_type_id          uuid NOT NULL,
    netsuite_sales_order_id text,
    created_at              timestamptz NOT NULL,
    PRIMARY KEY (environment_id, customer_id, id),
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract,
    FOREIGN KEY (environment_id, product_id) REFERENCES product
);

CREATE INDEX scheduled_charge_of_contract ON scheduled_charge (environment_id, customer_id, contract_id, id);

-- One payment each, in the order of their ids. Never deleted: an item that a change of the contract takes away is
-- removed, one that is on a stored invoice names it.
CREATE TABLE scheduled_charge_item (
    environment_id      uuid NOT NULL,
    customer_id         uuid NOT NULL,
    contract_id         uuid NOT NULL,
    scheduled_charge_id uuid NOT NULL,
    id                  uuid NOT NULL,
    dated_at            timestamptz NOT NULL,
    unit_price          numeric NOT NULL,
    quantity            numeric NOT NULL,
    amount              numeric NOT NULL,
    invoice_id          uuid,
    invoiced_at         timestamptz,
    removed_at          timestamptz,
    PRIMARY KEY (environment_id, customer_id, id),
    FOREIGN KEY (environment_id, customer_id, scheduled_charge_id) REFERENCES scheduled_charge,
    FOREIGN KEY (environment_id, customer_id, invoice_id) REFERENCES invoice,
    CHECK (amount = unit_price * quantity),
    CHECK ((invoice_id IS NULL) = (invoiced_at IS NULL)),
    CHECK (invoice_id IS NULL OR removed_at IS NULL)
);

CREATE INDEX scheduled_charge_item_of_contract
    ON scheduled_charge_item (environment_id, customer_id, contract_id, id);
CREATE INDEX scheduled_charge_item_pending
    ON scheduled_charge_item (environment_id, customer_id, contract_id, dated_at, id)
    WHERE invoice_id IS NULL AND removed_at IS NULL;
CREATE INDEX scheduled_charge_item_of_invoice
    ON scheduled_charge_item (environment_id, customer_id, invoice_id, id) WHERE invoice_id IS NOT NULL;
