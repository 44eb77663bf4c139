-- What the finalization of a true-up saw: the newest version of any balance and the newest draw.
ALTER TABLE invoice ADD COLUMN seen_of_true_up jsonb;
