-- A name for each state of a subject's usage of a day, whatever metrics count it: whoever adds to an hour of it gives it another
-- in the same transaction. So a server may remember what whole days add up to. Names are random: none comes back.
CREATE TABLE usage_day (
    environment_id uuid NOT NULL,
    subject_id     uuid NOT NULL,
    day            date NOT NULL,
    version        uuid NOT NULL,
    PRIMARY KEY (environment_id, subject_id, day)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02);

INSERT INTO usage_day (environment_id, subject_id, day, version)
SELECT environment_id, subject_id, (hour AT TIME ZONE 'UTC')::date, gen_random_uuid()
FROM usage_rollup GROUP BY 1, 2, 3;
