-- Facts are kept many together, as compressed payloads, and found by small tables of keys.
--
-- A slot is a stretch of time in one environment: the keys, repeats and batches that arrived in it lie in tables of
-- their own, which are dropped as a whole when no repeat can be young enough to be accepted and nothing in it can be
-- searched for. Exactly one slot of an environment is open. Facts that count move on into segments, which stay.
CREATE TABLE event_slot (
    environment_id uuid NOT NULL,
    slot           int GENERATED ALWAYS AS IDENTITY,
    opened_at      timestamptz NOT NULL,
    sealed_at      timestamptz,
    PRIMARY KEY (environment_id, slot)
);
CREATE UNIQUE INDEX event_slot_open ON event_slot (environment_id) WHERE sealed_at IS NULL;

-- What one flush kept: events in the order of their arrival, repeats among them.
CREATE TABLE event_batch (
    slot           int NOT NULL,
    -- the arrival number of its first thousand events
    batch_id       bigint NOT NULL,
    environment_id uuid NOT NULL,
    received_at    timestamptz NOT NULL,
    -- the newest timestamp of its events
    last_at        timestamptz NOT NULL,
    event_count    int NOT NULL,
    codec          smallint NOT NULL,
    payload        bytea NOT NULL,
    PRIMARY KEY (slot, batch_id)
) PARTITION BY LIST (slot);
ALTER TABLE event_batch ALTER COLUMN payload SET STORAGE EXTERNAL;

-- Batches whose usage is not in the rollups yet.
CREATE TABLE rollup_pending (
    environment_id uuid NOT NULL,
    batch_id       bigint NOT NULL,
    slot           int NOT NULL,
    PRIMARY KEY (environment_id, batch_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Batches whose facts are not in segments yet.
CREATE TABLE segment_pending (
    environment_id uuid NOT NULL,
    batch_id       bigint NOT NULL,
    slot           int NOT NULL,
    PRIMARY KEY (environment_id, batch_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- The facts of one subject and day of UTC, without repeats; kept for good.
CREATE TABLE event_segment (
    environment_id uuid NOT NULL,
    subject_id     uuid NOT NULL,
    day            date NOT NULL,
    segment        bigint NOT NULL,
    event_count    int NOT NULL,
    codec          smallint NOT NULL,
    payload        bytea NOT NULL,
    PRIMARY KEY (environment_id, subject_id, day, segment)
);
ALTER TABLE event_segment ALTER COLUMN payload SET STORAGE EXTERNAL;

ALTER TABLE event_key RENAME TO event_key_of_rows;
DROP INDEX event_repeat;

-- Transaction ids by digest (the environment is part of it), and the batch of the event that holds each. Unique within a
-- slot: the index is on each slot's table, so that rows and index stay as small as they can be.
CREATE TABLE event_key (
    slot     int NOT NULL,
    key      uuid NOT NULL,
    batch_id bigint NOT NULL
) PARTITION BY LIST (slot);

-- Repeats by the digest of their transaction id, and the batch that each came in.
CREATE TABLE event_repeat (
    slot     int NOT NULL,
    key      uuid NOT NULL,
    batch_id bigint NOT NULL
) PARTITION BY LIST (slot);

-- The tables of a slot. They are attached, not created in place, because that would keep every reader out.
CREATE FUNCTION make_event_slot(slot int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE event_key_%s (LIKE event_key) WITH (autovacuum_enabled = false)', slot);
    EXECUTE format('CREATE UNIQUE INDEX event_key_%1$s_key ON event_key_%1$s (key)', slot);
    EXECUTE format('CREATE TABLE event_repeat_%s (LIKE event_repeat)', slot);
    EXECUTE format('CREATE INDEX event_repeat_%1$s_key ON event_repeat_%1$s (key)', slot);
    EXECUTE format('CREATE TABLE event_batch_%s (LIKE event_batch INCLUDING INDEXES INCLUDING STORAGE)', slot);
    EXECUTE format('ALTER TABLE event_key ATTACH PARTITION event_key_%1$s FOR VALUES IN (%1$s)', slot);
    EXECUTE format('ALTER TABLE event_repeat ATTACH PARTITION event_repeat_%1$s FOR VALUES IN (%1$s)', slot);
    EXECUTE format('ALTER TABLE event_batch ATTACH PARTITION event_batch_%1$s FOR VALUES IN (%1$s)', slot);
END $$;

-- Nothing changes the keys of a sealed slot any more: one vacuum, which waits until then, is enough.
CREATE FUNCTION settle_event_slot(slot int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE event_key_%s SET (autovacuum_enabled = true)', slot);
END $$;

CREATE FUNCTION drop_event_slot(slot int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE event_key_%1$s, event_repeat_%1$s, event_batch_%1$s', slot);
END $$;

-- How many keys a slot has, about: a row and its pointer take 60 bytes of a page.
CREATE FUNCTION event_slot_keys(slot int) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN pg_relation_size(format('event_key_%s', slot)::regclass) / 60;
END $$;

-- What was kept as a row for each event.
INSERT INTO event_slot (environment_id, opened_at)
SELECT environment_id, min(received_at) FROM event GROUP BY environment_id;
SELECT make_event_slot(slot) FROM event_slot;

INSERT INTO event_batch (slot, batch_id, environment_id, received_at, last_at, event_count, codec, payload)
SELECT slot, seq / 1000, event.environment_id, min(received_at), max(happened_at), count(*), 0,
       convert_to(jsonb_agg(jsonb_build_object(
           'transaction_id', transaction_id, 'customer_id', subject.received, 'event_type', event_type,
           'timestamp', happened_at, 'received_at', received_at, 'seq', seq, 'properties_json', properties,
           'is_duplicate', is_duplicate) ORDER BY seq)::text, 'UTF8')
FROM event
JOIN event_slot ON event_slot.environment_id = event.environment_id
JOIN subject ON subject.environment_id = event.environment_id AND subject.id = event.subject_id
GROUP BY event.environment_id, slot, seq / 1000;

INSERT INTO segment_pending (environment_id, batch_id, slot)
SELECT environment_id, batch_id, slot FROM event_batch;

INSERT INTO event_key (slot, key, batch_id)
SELECT slot, key, seq / 1000 FROM event_key_of_rows JOIN event_slot USING (environment_id);

-- The key is what `event::transaction_key` makes of the id.
INSERT INTO event_repeat (slot, key, batch_id)
SELECT slot,
       encode(substr(sha256(
           int8send(length('transaction')) || 'transaction'::bytea
           || int8send(16) || uuid_send(environment_id)
           || int8send(octet_length(transaction_id)) || convert_to(transaction_id, 'UTF8')
       ), 1, 16), 'hex')::uuid,
       seq / 1000
FROM event JOIN event_slot USING (environment_id) WHERE is_duplicate;

DROP TABLE event, event_key_of_rows;
