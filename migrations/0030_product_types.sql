-- Products that are billed by subscription, as a share of other products' spend, and as professional services.
ALTER TABLE product DROP CONSTRAINT product_type_check;
ALTER TABLE product ADD CONSTRAINT product_type_check
    CHECK (type IN ('USAGE', 'SUBSCRIPTION', 'COMPOSITE', 'FIXED', 'PRO_SERVICE'));

-- Members of a composite: these products, and every product with one of these tags.
ALTER TABLE product ADD COLUMN composite_product_ids uuid[];
ALTER TABLE product ADD COLUMN composite_tags text[];
ALTER TABLE product ADD COLUMN composite_scope text CHECK (composite_scope IN ('CONTRACT', 'CUSTOMER'));
ALTER TABLE product ADD COLUMN exclude_free_usage boolean;
ALTER TABLE product ADD COLUMN include_composite_spend boolean;
ALTER TABLE product ADD CONSTRAINT product_composite_has_scope
    CHECK ((type = 'COMPOSITE') = (composite_scope IS NOT NULL));

CREATE INDEX product_composite ON product (environment_id, id) WHERE type = 'COMPOSITE';
