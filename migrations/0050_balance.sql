-- Commits and credits. What an edit may change is in `terms`, whole; every state that it has had is in balance_version.
CREATE TABLE balance (
    environment_id   uuid NOT NULL,
    customer_id      uuid NOT NULL,
    id               uuid NOT NULL,
    type             text NOT NULL CHECK (type IN ('PREPAID', 'POSTPAID', 'CREDIT')),
    -- null: of the customer, for all contracts or those that the terms name
    contract_id      uuid,
    access_type      text NOT NULL CHECK (access_type IN ('SPEND', 'QUANTITY')),
    -- the unit of its amounts; null where they are quantities
    credit_type_id   uuid,
    -- the recurring commit or credit that made it
    recurring_id     uuid,
    -- what it took over at a renewal
    origin_id          uuid,
    origin_contract_id uuid,
    uniqueness_key   text,
    created_at       timestamptz NOT NULL,
    -- null where due work made it
    created_by       text,
    -- from the start of the first of its segments to the end of the last one
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    terms            jsonb NOT NULL,
    archived_at      timestamptz,
    -- the row of balance_version that says the same
    added            bigint NOT NULL,
    PRIMARY KEY (environment_id, customer_id, id),
    FOREIGN KEY (environment_id, customer_id) REFERENCES customer,
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract,
    CHECK ((credit_type_id IS NULL) = (access_type = 'QUANTITY')),
    CHECK (starts_at < ends_at),
    CHECK ((origin_id IS NULL) = (origin_contract_id IS NULL))
);

CREATE INDEX balance_by_creation ON balance (environment_id, customer_id, created_at, id);
CREATE INDEX balance_by_end ON balance (environment_id, customer_id, ends_at);
CREATE INDEX balance_of_contract ON balance (environment_id, customer_id, contract_id, id);
CREATE INDEX balance_by_version ON balance (environment_id, customer_id, added);

-- Append-only: every state of a commit or credit, so that what was drawn can be recomputed as it was.
CREATE TABLE balance_version (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    balance_id     uuid NOT NULL,
    added          bigint GENERATED ALWAYS AS IDENTITY,
    terms          jsonb NOT NULL,
    archived_at    timestamptz,
    changed_at     timestamptz NOT NULL,
    changed_by     text,
    PRIMARY KEY (environment_id, customer_id, balance_id, added),
    FOREIGN KEY (environment_id, customer_id, balance_id) REFERENCES balance
);

-- Append-only: what finalized invoices drew, and what voiding them gave back.
CREATE TABLE balance_draw (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    balance_id     uuid NOT NULL,
    segment_id     uuid NOT NULL,
    added          bigint GENERATED ALWAYS AS IDENTITY,
    invoice_id     uuid NOT NULL,
    contract_id    uuid NOT NULL,
    -- below zero where it was drawn, above where it was given back
    amount         numeric NOT NULL,
    dated_at       timestamptz NOT NULL,
    PRIMARY KEY (environment_id, customer_id, balance_id, segment_id, added),
    FOREIGN KEY (environment_id, customer_id, balance_id) REFERENCES balance,
    FOREIGN KEY (environment_id, customer_id, invoice_id) REFERENCES invoice,
    CHECK (amount <> 0)
);

CREATE INDEX balance_draw_of_invoice ON balance_draw (environment_id, customer_id, invoice_id);
CREATE INDEX balance_draw_by_number ON balance_draw (environment_id, customer_id, added);

-- A charge that pays for a commit; its items are the payments, or the one true-up of a postpaid commit.
ALTER TABLE scheduled_charge ADD COLUMN balance_id uuid;
ALTER TABLE scheduled_charge ADD COLUMN is_true_up boolean NOT NULL DEFAULT false;
ALTER TABLE scheduled_charge
    ADD FOREIGN KEY (environment_id, customer_id, balance_id) REFERENCES balance;
ALTER TABLE scheduled_charge ADD CHECK (balance_id IS NOT NULL OR NOT is_true_up);
CREATE INDEX scheduled_charge_of_balance ON scheduled_charge (environment_id, customer_id, balance_id)
    WHERE balance_id IS NOT NULL;

-- What the drawdown of a usage invoice saw: the newest version and the newest draw, and what other drafts had reserved.
ALTER TABLE invoice ADD COLUMN seen_balances jsonb;

-- Grows with every change of a balance and every draw, so that a step of due work whose snapshot is older than one of them runs
-- again as soon as it holds its customer.
ALTER TABLE customer ADD COLUMN balance_changes bigint NOT NULL DEFAULT 0;
