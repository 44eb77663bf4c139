-- Facts and quantities. Only the stores behind EventLog, DedupStore, RollupStore and SegmentReader touch these.

-- The customer_id string of an event exactly as it was sent; an alias binds it to a customer when usage is read.
CREATE TABLE subject (
    environment_id uuid NOT NULL,
    id             uuid NOT NULL,
    received       text NOT NULL,
    PRIMARY KEY (environment_id, id)
);

-- Transaction ids by digest, held until no repeat can be young enough to be accepted.
CREATE TABLE event_key (
    environment_id uuid NOT NULL,
    key            uuid NOT NULL,
    expires_at     timestamptz NOT NULL,
    PRIMARY KEY (environment_id, key)
);

CREATE TABLE event (
    environment_id uuid NOT NULL,
    subject_id     uuid NOT NULL,
    -- arrival of the request times 1000 plus the position in it
    seq            bigint NOT NULL,
    transaction_id text NOT NULL,
    event_type     text NOT NULL,
    happened_at    timestamptz NOT NULL,
    received_at    timestamptz NOT NULL,
    -- to the letter as it was sent
    properties     text NOT NULL,
    is_duplicate   boolean NOT NULL,
    PRIMARY KEY (environment_id, subject_id, seq)
);

CREATE TABLE usage_group (
    environment_id     uuid NOT NULL,
    billable_metric_id uuid NOT NULL,
    id                 uuid NOT NULL,
    group_values       text[] NOT NULL,
    PRIMARY KEY (environment_id, billable_metric_id, id)
);

-- Every column merges (add, greatest, later), so usage of several subjects, groups or hours is their merge.
CREATE TABLE usage_rollup (
    environment_id     uuid NOT NULL,
    subject_id         uuid NOT NULL,
    billable_metric_id uuid NOT NULL,
    hour               timestamptz NOT NULL,
    group_id           uuid NOT NULL,
    event_count        bigint NOT NULL,
    total              numeric,
    greatest_value     numeric,
    latest_value       numeric,
    latest_at          timestamptz,
    latest_seq         bigint,
    PRIMARY KEY (environment_id, subject_id, billable_metric_id, hour, group_id)
) WITH (fillfactor = 60);

CREATE TABLE usage_unique (
    environment_id     uuid NOT NULL,
    subject_id         uuid NOT NULL,
    billable_metric_id uuid NOT NULL,
    hour               timestamptz NOT NULL,
    group_id           uuid NOT NULL,
    value_digest       uuid NOT NULL,
    PRIMARY KEY (environment_id, subject_id, billable_metric_id, hour, group_id, value_digest)
);
