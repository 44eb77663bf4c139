-- A name for each state of what is one customer's own that a snapshot can see: its aliases, its statuses, its contracts with
-- their terms, its balances, what was drawn of them and its invoices. A server may keep what it worked out of these for as
-- long as the customer has that name. Names are random: none comes back after a restore or a transaction that was undone.
ALTER TABLE customer
    ADD COLUMN state uuid NOT NULL DEFAULT gen_random_uuid(),
    -- The transaction that gave the name: one name is enough for all its changes.
    ADD COLUMN state_named_in xid8 NOT NULL DEFAULT pg_current_xact_id();

-- Whoever holds a customer changes its row, and who changes anything of it nearly always holds it.
CREATE FUNCTION name_customer_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.state := gen_random_uuid();
    NEW.state_named_in := pg_current_xact_id();
    RETURN NEW;
END
$$;

CREATE TRIGGER name_state BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION name_customer_state();

-- Whoever did not gets the customer a new name as well, at the commit like that of a catalog (0055). The number of a
-- transaction alone does not say that it is this one: in a database that was restored elsewhere numbers start anew, and xmin
-- says who wrote the row there.
CREATE FUNCTION change_customer_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE customer SET holds = holds + 1
        WHERE environment_id = OLD.environment_id AND id = OLD.customer_id
          AND (state_named_in <> pg_current_xact_id() OR xmin <> pg_current_xact_id()::xid);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE customer SET holds = holds + 1
        WHERE environment_id = NEW.environment_id AND id = NEW.customer_id
          AND (state_named_in <> pg_current_xact_id() OR xmin <> pg_current_xact_id()::xid);
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    changed text;
BEGIN
    FOREACH changed IN ARRAY ARRAY[
        'ingest_alias', 'billable_status', 'contract', 'contract_override', 'usage_filter', 'balance', 'balance_draw',
        'scheduled_charge', 'scheduled_charge_item', 'invoice'
    ] LOOP
        EXECUTE format(
            'CREATE CONSTRAINT TRIGGER change_state AFTER INSERT OR UPDATE OR DELETE ON %I '
            'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION change_customer_state()',
            changed);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION name_catalog_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.environment_id ELSE NEW.environment_id END;
BEGIN
    INSERT INTO catalog_version AS known (environment_id, version, named_in)
    VALUES (changed, gen_random_uuid(), pg_current_xact_id())
    ON CONFLICT (environment_id) DO UPDATE SET version = excluded.version, named_in = excluded.named_in
    WHERE known.named_in <> excluded.named_in OR known.xmin <> pg_current_xact_id()::xid;
    RETURN NULL;
END
$$;

-- Which custom fields there may be belongs to the catalog: where there is no key, nothing needs to be looked up.
CREATE CONSTRAINT TRIGGER name_version AFTER INSERT OR UPDATE OR DELETE ON custom_field_key
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION name_catalog_version();
