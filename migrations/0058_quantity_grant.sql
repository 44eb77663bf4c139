-- A recurring commit or credit without a unit grants quantities, of whatever its usage is counted in.
ALTER TABLE recurring_grant ALTER COLUMN credit_type_id DROP NOT NULL;
