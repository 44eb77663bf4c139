-- What the finalization of a true-up saw: the version of its commit and the newest draw.
ALTER TABLE invoice ADD COLUMN seen_of_true_up jsonb;
