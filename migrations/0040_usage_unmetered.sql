-- Events that no streaming metric counts, by the string that each names its customer by, the day of its timestamp (UTC)
-- and its type. A type is as long as its sender likes: rows go by its digest.
CREATE TABLE usage_unmetered (
    environment_id uuid NOT NULL,
    subject_id     uuid NOT NULL,
    day            date NOT NULL,
    event_type_key uuid NOT NULL,
    event_type     text NOT NULL,
    event_count    bigint NOT NULL,
    PRIMARY KEY (environment_id, subject_id, day, event_type_key)
);

CREATE INDEX usage_unmetered_by_day ON usage_unmetered (environment_id, day, subject_id, event_type_key);
