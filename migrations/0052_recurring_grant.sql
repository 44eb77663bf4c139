-- Recurring commits and credits of contracts. What an edit may change is in `terms`, whole; every state that it has had is
-- in recurring_grant_version. What they make are rows of `balance`.
CREATE TABLE recurring_grant (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    contract_id    uuid NOT NULL,
    id             uuid NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('COMMIT', 'CREDIT')),
    -- the unit of what is granted
    credit_type_id uuid NOT NULL,
    created_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    terms          jsonb NOT NULL,
    -- the row of recurring_grant_version that says the same
    added          bigint NOT NULL,
    -- for every period that starts before there is a commit or credit
    granted_until  timestamptz NOT NULL,
    PRIMARY KEY (environment_id, customer_id, id),
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract
);

CREATE INDEX recurring_grant_of_contract ON recurring_grant (environment_id, customer_id, contract_id, id);

-- Append-only.
CREATE TABLE recurring_grant_version (
    environment_id uuid NOT NULL,
    customer_id    uuid NOT NULL,
    grant_id       uuid NOT NULL,
    added          bigint GENERATED ALWAYS AS IDENTITY,
    terms          jsonb NOT NULL,
    changed_at     timestamptz NOT NULL,
    changed_by     text NOT NULL,
    PRIMARY KEY (environment_id, customer_id, grant_id, added),
    FOREIGN KEY (environment_id, customer_id, grant_id) REFERENCES recurring_grant
);

CREATE INDEX balance_of_recurring_grant ON balance (environment_id, customer_id, recurring_id, starts_at)
    WHERE recurring_id IS NOT NULL;
