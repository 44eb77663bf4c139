-- Where the event that holds the id is, so that an event is found by its id without another index over all events.
ALTER TABLE event_key ADD COLUMN subject_id uuid, ADD COLUMN seq bigint;

-- Of one id the last event that counts holds it. The key is what `event::transaction_key` makes of the id.
UPDATE event_key SET subject_id = holder.subject_id, seq = holder.seq
FROM (
    SELECT DISTINCT ON (environment_id, transaction_id) environment_id, subject_id, seq,
           encode(substr(sha256(
               int8send(length('transaction')) || 'transaction'::bytea
               || int8send(16) || uuid_send(environment_id)
               || int8send(octet_length(transaction_id)) || convert_to(transaction_id, 'UTF8')
           ), 1, 16), 'hex')::uuid AS key
    FROM event WHERE NOT is_duplicate
    ORDER BY environment_id, transaction_id, seq DESC
) AS holder
WHERE event_key.environment_id = holder.environment_id AND event_key.key = holder.key;

ALTER TABLE event_key ALTER COLUMN subject_id SET NOT NULL, ALTER COLUMN seq SET NOT NULL;

-- Repeats are few, and no key leads to them.
CREATE INDEX event_repeat ON event (environment_id, transaction_id, seq) WHERE is_duplicate;
