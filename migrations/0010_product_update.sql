-- Products that are priced on the contract, and products that change over time.
ALTER TABLE product DROP CONSTRAINT product_type_check;
ALTER TABLE product ADD CONSTRAINT product_type_check CHECK (type IN ('USAGE', 'FIXED'));
ALTER TABLE product ADD CONSTRAINT product_usage_has_metric CHECK ((type = 'USAGE') = (billable_metric_id IS NOT NULL));

-- A product's changes, append-only. Its state at an instant is the row of `product` overlaid, field by field, by every
-- update that starts then or earlier, in the order of their starts and, of equal ones, of their addition.
CREATE TABLE product_update (
    environment_id     uuid NOT NULL,
    product_id         uuid NOT NULL,
    added              bigint GENERATED ALWAYS AS IDENTITY,
    starting_at        timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    created_by         text NOT NULL,
    -- the fields that the call supplied; null where it removes a conversion or a rounding
    changes            jsonb NOT NULL,
    billable_metric_id uuid GENERATED ALWAYS AS ((changes ->> 'billable_metric_id')::uuid) STORED,
    PRIMARY KEY (environment_id, product_id, added),
    FOREIGN KEY (environment_id, product_id) REFERENCES product,
    FOREIGN KEY (environment_id, billable_metric_id) REFERENCES billable_metric
);

CREATE INDEX product_update_of_metric ON product_update (environment_id, billable_metric_id);

-- The last product update that the calculation saw, of the products of its card; null where it saw none.
ALTER TABLE invoice ADD COLUMN seen_product_update bigint;
