-- Range types with equality in one exclusion constraint; ships with PostgreSQL.
CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Numbers every ingest request and every billable metric, so that "arrived after the metric was created" is exact
-- even while the clock stands still.
CREATE SEQUENCE arrival_seq;

CREATE TABLE billable_metric (
    environment_id    uuid NOT NULL REFERENCES environment,
    id                uuid NOT NULL,
    name              text NOT NULL,
    aggregation_type  text NOT NULL CHECK (aggregation_type IN ('COUNT', 'SUM', 'MAX', 'UNIQUE', 'LATEST')),
    aggregation_key   text,
    event_type_filter jsonb,
    property_filters  jsonb,
    group_keys        jsonb,
    created_at        timestamptz NOT NULL,
    created_arrival   bigint NOT NULL,
    archived_at       timestamptz,
    archived_arrival  bigint,
    PRIMARY KEY (environment_id, id)
);

CREATE INDEX billable_metric_by_creation ON billable_metric (environment_id, created_at, id);

CREATE TABLE product (
    environment_id           uuid NOT NULL REFERENCES environment,
    id                       uuid NOT NULL,
    type                     text NOT NULL CHECK (type IN ('USAGE')),
    name                     text NOT NULL,
    billable_metric_id       uuid,
    pricing_group_key        text[],
    presentation_group_key   text[],
    quantity_conversion      jsonb,
    quantity_rounding        jsonb,
    tags                     text[],
    is_refundable            boolean NOT NULL,
    netsuite_internal_item_id text,
    netsuite_overage_item_id text,
    created_at               timestamptz NOT NULL,
    created_by               text NOT NULL,
    archived_at              timestamptz,
    PRIMARY KEY (environment_id, id),
    FOREIGN KEY (environment_id, billable_metric_id) REFERENCES billable_metric
);

CREATE INDEX product_by_creation ON product (environment_id, created_at, id);
CREATE INDEX product_of_metric ON product (environment_id, billable_metric_id);

CREATE TABLE rate_card (
    environment_id      uuid NOT NULL REFERENCES environment,
    id                  uuid NOT NULL,
    name                text NOT NULL,
    description         text,
    fiat_credit_type_id uuid NOT NULL,
    created_at          timestamptz NOT NULL,
    created_by          text NOT NULL,
    archived_at         timestamptz,
    PRIMARY KEY (environment_id, id)
);

CREATE INDEX rate_card_by_creation ON rate_card (environment_id, created_at, id);

CREATE TABLE rate_card_conversion (
    environment_id         uuid NOT NULL,
    rate_card_id           uuid NOT NULL,
    position               integer NOT NULL,
    custom_credit_type_id  uuid NOT NULL,
    fiat_per_custom_credit numeric NOT NULL CHECK (fiat_per_custom_credit > 0),
    PRIMARY KEY (environment_id, rate_card_id, custom_credit_type_id),
    FOREIGN KEY (environment_id, rate_card_id) REFERENCES rate_card
);

-- At any instant an alias names at most one card.
CREATE TABLE rate_card_alias (
    environment_id uuid NOT NULL,
    rate_card_id   uuid NOT NULL,
    name           text NOT NULL,
    starting_at    timestamptz,
    ending_before  timestamptz,
    FOREIGN KEY (environment_id, rate_card_id) REFERENCES rate_card,
    CONSTRAINT rate_card_alias_names_one_card EXCLUDE USING gist (
        environment_id WITH =, name WITH =, tstzrange(starting_at, ending_before) WITH &&
    )
);

CREATE INDEX rate_card_alias_of_card ON rate_card_alias (environment_id, rate_card_id);

-- The products of a card in the order of its invoice lines.
CREATE TABLE rate_card_product (
    environment_id uuid NOT NULL,
    rate_card_id   uuid NOT NULL,
    product_id     uuid NOT NULL,
    position       integer NOT NULL,
    credit_type_id uuid NOT NULL,
    PRIMARY KEY (environment_id, rate_card_id, product_id),
    FOREIGN KEY (environment_id, rate_card_id) REFERENCES rate_card,
    FOREIGN KEY (environment_id, product_id) REFERENCES product
);

-- A card's price timeline: append-only; where entries overlap, the one added last is in force.
CREATE TABLE rate (
    environment_id       uuid NOT NULL,
    rate_card_id         uuid NOT NULL,
    added                bigint GENERATED ALWAYS AS IDENTITY,
    product_id           uuid NOT NULL,
    pricing_group_values jsonb NOT NULL,
    starting_at          timestamptz NOT NULL,
    ending_before        timestamptz,
    entitled             boolean NOT NULL,
    rate_type            text NOT NULL CHECK (rate_type IN ('FLAT', 'TIERED')),
    price                numeric,
    tiers                jsonb,
    created_at           timestamptz NOT NULL,
    created_by           text NOT NULL,
    PRIMARY KEY (environment_id, rate_card_id, added),
    FOREIGN KEY (environment_id, rate_card_id, product_id) REFERENCES rate_card_product,
    CHECK (ending_before > starting_at),
    CHECK ((rate_type = 'FLAT') = (price IS NOT NULL) AND (rate_type = 'TIERED') = (tiers IS NOT NULL))
);

CREATE INDEX rate_of_product ON rate (environment_id, rate_card_id, product_id, added);
