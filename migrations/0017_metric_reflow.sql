-- Facts that came before a metric and count for it all the same: those dated `starting_at` or later, from the arrival on.
CREATE TABLE metric_reflow (
    environment_id     uuid NOT NULL,
    billable_metric_id uuid NOT NULL,
    arrival            bigint NOT NULL,
    starting_at        timestamptz NOT NULL,
    PRIMARY KEY (environment_id, billable_metric_id, arrival)
);
ALTER TABLE usage_rollup SET (autovacuum_vacuum_scale_factor = 0.02);

-- What each flush asks: did a metric come or go since the last one?
CREATE INDEX billable_metric_arrival ON billable_metric (environment_id, greatest(created_arrival, archived_arrival));
