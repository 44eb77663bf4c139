-- What else a finalized invoice was calculated from: the last override of its contract, and of each other contract of the
-- customer whose spend counted the last of its terms.
ALTER TABLE invoice ADD COLUMN seen_override bigint;
ALTER TABLE invoice ADD COLUMN seen_others jsonb NOT NULL DEFAULT '{}';
