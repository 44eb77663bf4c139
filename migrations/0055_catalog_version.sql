-- A name for each state of an environment's catalog that a snapshot can see, so that a server may keep what it worked out of
-- the catalog for as long as it has that name. Names are random: none comes back after a restore or a transaction that was
-- undone.
CREATE TABLE catalog_version (
    environment_id uuid PRIMARY KEY REFERENCES environment,
    version        uuid NOT NULL,
    -- The transaction that gave the name: one name is enough for all its changes.
    named_in       xid8 NOT NULL
);

INSERT INTO catalog_version (environment_id, version, named_in)
SELECT id, gen_random_uuid(), pg_current_xact_id() FROM environment;

CREATE FUNCTION name_catalog_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.environment_id ELSE NEW.environment_id END;
BEGIN
    INSERT INTO catalog_version AS known (environment_id, version, named_in)
    VALUES (changed, gen_random_uuid(), pg_current_xact_id())
    ON CONFLICT (environment_id) DO UPDATE SET version = excluded.version, named_in = excluded.named_in
    WHERE known.named_in <> excluded.named_in;
    RETURN NULL;
END
$$;

-- At the commit, and not at the change, so that nobody waits for a lock of something else while others wait for the name. The
-- names of two transactions come one after the other, in the order in which they commit: a snapshot that sees a name sees
-- what it names.
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON credit_type
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON billable_metric
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON metric_reflow
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON product
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON product_update
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON rate_card
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON rate_card_conversion
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON rate_card_product
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON rate
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
