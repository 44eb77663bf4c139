-- When a finalized invoice became void, and the invoices that are made in place of void ones.
ALTER TABLE invoice ADD COLUMN voided_at timestamptz;
UPDATE invoice SET voided_at = finalized_at WHERE status = 'VOID';
ALTER TABLE invoice ADD CHECK ((status = 'VOID') = (voided_at IS NOT NULL));

-- The first invoice of the same statement, or of the same date, and how many that one had before this: null and 0 on the
-- first one itself. A number that two would take, or a second invoice that stands, is a fault.
ALTER TABLE invoice ADD COLUMN original_id uuid;
ALTER TABLE invoice ADD COLUMN generation int NOT NULL DEFAULT 0;
ALTER TABLE invoice ADD FOREIGN KEY (environment_id, customer_id, original_id) REFERENCES invoice;
ALTER TABLE invoice ADD CHECK (generation >= 0 AND (original_id IS NULL) = (generation = 0));
CREATE UNIQUE INDEX invoice_generation ON invoice (environment_id, customer_id, original_id, generation)
    WHERE original_id IS NOT NULL;
CREATE UNIQUE INDEX invoice_standing ON invoice (environment_id, customer_id, coalesce(original_id, id))
    WHERE status = 'FINALIZED';

-- How often a transaction held the customer: it changes the row, so that a snapshot from before cannot hold it as well.
ALTER TABLE customer ADD COLUMN holds bigint NOT NULL DEFAULT 0;

-- A payment for a commit may change while the invoice that it is on is void. What that invoice has of it stays there as a row
-- of its own, which names the payment that it stands for and is billed no more.
ALTER TABLE scheduled_charge_item ADD COLUMN stands_for uuid;
ALTER TABLE scheduled_charge_item ADD CHECK (stands_for IS NULL OR invoice_id IS NOT NULL);
