-- What a contract agrees about prices and entitlement beside its rate card. Append-only, in the order of addition.
CREATE TABLE contract_override (
    environment_id          uuid NOT NULL,
    customer_id             uuid NOT NULL,
    contract_id             uuid NOT NULL,
    id                      uuid NOT NULL,
    added                   bigint GENERATED ALWAYS AS IDENTITY,
    starting_at             timestamptz NOT NULL,
    ending_before           timestamptz CHECK (ending_before > starting_at),
    -- what it is aimed at; everything where all three are empty
    product_id              uuid,
    applicable_product_tags text[] NOT NULL,
    override_specifiers     jsonb NOT NULL,
    -- null: the price stays
    override_type           text CHECK (override_type IN ('OVERWRITE', 'MULTIPLIER', 'TIERED')),
    -- the one that its type needs
    overwrite_rate          jsonb,
    multiplier              numeric CHECK (multiplier >= 0),
    override_tiers          jsonb,
    -- null: as the card says
    entitled                boolean,
    priority                numeric CHECK (priority > 0),
    is_commit_specific      boolean NOT NULL,
    target                  text NOT NULL CHECK (target IN ('LIST_RATE', 'COMMIT_RATE')),
    -- whether the contract was made with it
    is_initial              boolean NOT NULL,
    created_at              timestamptz NOT NULL,
    created_by              text NOT NULL,
    PRIMARY KEY (environment_id, customer_id, contract_id, id),
    FOREIGN KEY (environment_id, customer_id, contract_id) REFERENCES contract,
    FOREIGN KEY (environment_id, product_id) REFERENCES product,
    CHECK (override_type IS NOT NULL OR entitled IS NOT NULL),
    CHECK ((overwrite_rate IS NOT NULL) = (override_type IS NOT DISTINCT FROM 'OVERWRITE')
           AND (multiplier IS NOT NULL) = (override_type IS NOT DISTINCT FROM 'MULTIPLIER')
           AND (override_tiers IS NOT NULL) = (override_type IS NOT DISTINCT FROM 'TIERED'))
);
