-- No flush asks any more which metrics came or went.
DROP INDEX billable_metric_arrival;

-- Different for every flush, also where a database that lost its last commits gives a number again.
ALTER TABLE rollup_pending ADD COLUMN mark uuid;
