# Statements that look hostile, are taken, and see nothing but the one customer's events of tests/it/sql_metrics.rs;
# each behind `###` and its answer, as in legitimate.sql.
### 8
SELECT COUNT(*) FROM "events"
### 8
SELECT COUNT(*) FROM events WHERE true OR properties.customer_id = 'other'
### 8
SELECT COUNT(*) FROM events WHERE 1 = 1
### 8
SELECT COUNT(*) FROM events WHERE NOT event_type = 'no such type'
### 8
SELECT COUNT(*) FROM events /* ; DROP TABLE event; -- */
### 8
SELECT COUNT(*) FROM events -- ; DROP TABLE event
### 8
SELECT COUNT(*) FROM events;
### 0
SELECT COUNT(properties."'; DROP TABLE event; --") FROM events
### 0
SELECT COUNT(properties."a""; SELECT 1; --") FROM events
### 0
SELECT COUNT(properties."$1") FROM events
### 0
SELECT COUNT(properties.customer_id) + COUNT(properties.environment_id) + COUNT(properties.seq) + COUNT(properties.ctid) FROM events
### 0
SELECT COUNT(properties."$serde_json::private::Number") FROM events
### null
SELECT COUNT(*) FROM events WHERE event_type = 'call'' OR ''1'' = ''1'
### null
SELECT COUNT(*) FROM events WHERE event_type = '$1'
### null
SELECT COUNT(*) FROM events WHERE event_type = 'саll'
### null
SELECT COUNT(*) FROM events WHERE event_type IN ('secret', 'pg_shadow', 'customer')
### 8
WITH pg_shadow AS (SELECT COUNT(*) AS passwd FROM events) SELECT passwd AS value FROM pg_shadow
### 8
WITH customer AS (SELECT COUNT(*) AS id FROM events) SELECT id AS value FROM customer
### 8
WITH source AS (SELECT event_type FROM events) SELECT COUNT(*) AS value FROM source
### 8
WITH counted AS (SELECT event_type FROM events), slice AS (SELECT event_type FROM counted) SELECT COUNT(*) AS value FROM slice
### 8
WITH common1 AS (SELECT event_type FROM events), common0 AS (SELECT event_type FROM common1) SELECT COUNT(*) AS value FROM common0
### 8
SELECT COUNT(s.event_type) FROM events AS s
### 8
SELECT COUNT(event.event_type) FROM events AS event
### 8
SELECT COUNT(pg_catalog.event_type) FROM events AS pg_catalog
### 36
SELECT SUM(place) FROM (SELECT ROW_NUMBER() OVER (ORDER BY timestamp) AS place FROM events)
### 8
SELECT SUM(c0) FROM (SELECT COUNT(*) AS c0, 1 AS k0, 2 AS a0 FROM events)
### 34
SELECT SUM(properties.n) AS "value" FROM events
### 34
SELECT SUM(properties.n) AS value, 'other' AS customer_id FROM events GROUP BY 2
### [customer_id] other: 34
SELECT SUM(properties.n) AS value, 'other' AS customer_id FROM events GROUP BY customer_id
### [x; DROP TABLE event] x: 8
SELECT COUNT(*) AS value, 'x' AS "x; DROP TABLE event" FROM events GROUP BY 2
### 8
SELECT COUNT(*) FROM events HAVING TRUE
### 0
SELECT COUNT(*) FROM events HAVING COUNT(*) > 100
### 0
SELECT COUNT(*) FROM events HAVING NULL
### null
SELECT COUNT(*) FROM events WHERE NULL
### null
SELECT COUNT(*) FROM events WHERE FALSE
### null
SELECT COUNT(*) FROM events WHERE timestamp < '1970-01-01' OR timestamp > '9999-12-31'
### 8
SELECT MAX(n) FROM (SELECT COUNT(*) OVER (PARTITION BY 1) AS n FROM events)
### 0
SELECT COUNT(properties.aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1) FROM events
### 0
SELECT SUM(aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1)
FROM (SELECT COUNT(*) - 8 AS aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg1,
             COUNT(*) AS aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg2 FROM events)
### 8
SELECT COUNT(*) FROM events WHERE 'a' <> 'A' AND '1' <> '01' AND 1 = 1.0
### 5
SELECT SUM(n) FROM (SELECT COUNT(DISTINCT properties.user) + COUNT(DISTINCT event_type) AS n FROM events)
### 0
SELECT SUM(CAST('1e400' AS DECIMAL)) FROM events
### 8
SELECT COUNT(*) FROM events WHERE CAST('９' AS INT) IS NULL
### 11
SELECT MAX(properties.n) FROM events WHERE properties.n < 1000
