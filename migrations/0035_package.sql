-- Packages: terms of contracts whose dates are counted from the start of each contract.

-- Aliases are given to rate cards and to packages alike; at any instant an alias names at most one of a type.
CREATE TABLE alias (
    environment_id uuid NOT NULL REFERENCES environment,
    holder_type    text NOT NULL CHECK (holder_type IN ('rate_card', 'package')),
    holder_id      uuid NOT NULL,
    name           text NOT NULL,
    starting_at    timestamptz,
    ending_before  timestamptz,
    CONSTRAINT alias_names_one_holder EXCLUDE USING gist (
        environment_id WITH =, holder_type WITH =, name WITH =, tstzrange(starting_at, ending_before) WITH &&
    )
);

CREATE INDEX alias_of_holder ON alias (environment_id, holder_type, holder_id);

INSERT INTO alias (environment_id, holder_type, holder_id, name, starting_at, ending_before)
SELECT environment_id, 'rate_card', rate_card_id, name, starting_at, ending_before FROM rate_card_alias;

DROP TABLE rate_card_alias;

-- Never changed but for being archived. Lengths of time are {"value": …, "unit": …}.
CREATE TABLE package (
    environment_id                     uuid NOT NULL REFERENCES environment,
    id                                 uuid NOT NULL,
    name                               text NOT NULL,
    contract_name                      text,
    rate_card_id                       uuid,
    rate_card_alias                    text,
    duration                           jsonb,
    net_payment_terms_days             numeric,
    statement_frequency                text NOT NULL,
    statement_day                      text NOT NULL,
    invoice_generation_offset          jsonb,
    scheduled_charges_on_usage_invoices text,
    multiplier_override_prioritization text NOT NULL,
    uniqueness_key                     text,
    created_at                         timestamptz NOT NULL,
    created_by                         text NOT NULL,
    archived_at                        timestamptz,
    PRIMARY KEY (environment_id, id),
    FOREIGN KEY (environment_id, rate_card_id) REFERENCES rate_card,
    CHECK (rate_card_id IS NULL OR rate_card_alias IS NULL)
);

CREATE INDEX package_by_creation ON package (environment_id, created_at, id);

-- In the order of their ids, as the package brought them.
CREATE TABLE package_scheduled_charge (
    environment_id uuid NOT NULL,
    package_id     uuid NOT NULL,
    id             uuid NOT NULL,
    product_id     uuid NOT NULL,
    name           text,
    credit_type_id uuid NOT NULL,
    PRIMARY KEY (environment_id, id),
    FOREIGN KEY (environment_id, package_id) REFERENCES package,
    FOREIGN KEY (environment_id, product_id) REFERENCES product
);

CREATE INDEX package_scheduled_charge_of_package ON package_scheduled_charge (environment_id, package_id, id);

CREATE TABLE package_scheduled_charge_item (
    environment_id uuid NOT NULL,
    charge_id      uuid NOT NULL,
    id             uuid NOT NULL,
    date_offset    jsonb NOT NULL,
    unit_price     numeric NOT NULL,
    quantity       numeric NOT NULL,
    PRIMARY KEY (environment_id, charge_id, id),
    FOREIGN KEY (environment_id, charge_id) REFERENCES package_scheduled_charge
);

-- In the order of their ids, as the package brought them.
CREATE TABLE package_override (
    environment_id     uuid NOT NULL,
    package_id         uuid NOT NULL,
    id                 uuid NOT NULL,
    starting_at_offset jsonb NOT NULL,
    duration           jsonb,
    -- as a contract's override is kept, but for its dates
    rule               jsonb NOT NULL,
    PRIMARY KEY (environment_id, package_id, id),
    FOREIGN KEY (environment_id, package_id) REFERENCES package
);

ALTER TABLE contract ADD COLUMN package_id uuid;
ALTER TABLE contract ADD CONSTRAINT contract_is_of_a_package
    FOREIGN KEY (environment_id, package_id) REFERENCES package;

CREATE INDEX contract_of_package ON contract (environment_id, package_id, starting_at, created_at, id)
    WHERE package_id IS NOT NULL;
