-- Commits and credits of packages, whose dates are counted from the start of each contract. In the order of their ids, as the
-- package brought them, the commits first.
CREATE TABLE package_balance (
    environment_id uuid NOT NULL,
    package_id     uuid NOT NULL,
    id             uuid NOT NULL,
    type           text NOT NULL CHECK (type IN ('PREPAID', 'POSTPAID', 'CREDIT')),
    -- what it grants and what is paid for it, lengths of time in the place of dates
    terms          jsonb NOT NULL,
    PRIMARY KEY (environment_id, id),
    FOREIGN KEY (environment_id, package_id) REFERENCES package
);

CREATE INDEX package_balance_of_package ON package_balance (environment_id, package_id, id);

-- Recurring ones, likewise.
CREATE TABLE package_recurring_grant (
    environment_id     uuid NOT NULL,
    package_id         uuid NOT NULL,
    id                 uuid NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('COMMIT', 'CREDIT')),
    -- unset for quantities
    credit_type_id     uuid,
    starting_at_offset jsonb NOT NULL,
    duration           jsonb,
    -- as a contract's recurring one is kept, but for its dates
    terms              jsonb NOT NULL,
    PRIMARY KEY (environment_id, package_id, id),
    FOREIGN KEY (environment_id, package_id) REFERENCES package
);
