# Statements that are refused when a metric is made, each behind `###` and what the refusal says.
### one statement
SELECT COUNT(*) FROM events; SELECT 1
### one statement
SELECT COUNT(*) FROM events; DROP TABLE event
### one statement
SELECT COUNT(*) FROM events;; SELECT pg_sleep(10)
### must be a SELECT
DROP TABLE event
### must be a SELECT
TRUNCATE event
### must be a SELECT
DELETE FROM events
### must be a SELECT
DELETE FROM events WHERE 1 = 1 RETURNING 1
### must be a SELECT
INSERT INTO events (event_type) VALUES ('x')
### must be a SELECT
UPDATE events SET event_type = 'x'
### 
MERGE INTO events USING customer ON true WHEN MATCHED THEN DELETE
### must be a SELECT
CREATE TABLE x (a int)
### must be a SELECT
CREATE TABLE x AS SELECT COUNT(*) FROM events
### must be a SELECT
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
### must be a SELECT
ALTER TABLE event ADD COLUMN x int
### must be a SELECT
GRANT ALL ON event TO public
### must be a SELECT
COPY event TO '/tmp/x'
### must be a SELECT
COPY event FROM PROGRAM 'id'
### must be a SELECT
EXPLAIN ANALYZE SELECT COUNT(*) FROM events
### must be a SELECT
SET statement_timeout = 0
### must be a SELECT
RESET ALL
### must be a SELECT
SHOW ALL
### must be a SELECT
BEGIN
### must be a SELECT
COMMIT
### must be a SELECT
ROLLBACK
### must be a SELECT
LISTEN x
### must be a SELECT
NOTIFY x
### must be a SELECT
VACUUM
### must be a SELECT
PREPARE p AS SELECT 1
### must be a SELECT
EXECUTE p
### must be a SELECT
CALL f()
### is not SQL
DO $$ BEGIN PERFORM pg_sleep(10); END $$
### must be a SELECT
LOCK TABLE event
### must be a SELECT
DECLARE c CURSOR FOR SELECT 1
### must be a SELECT
VALUES (1)
### is not SQL
TABLE events
### is not SQL
TABLE pg_shadow
### FROM is missing
SELECT 1
### FROM is missing
SELECT pg_sleep(10)
### FROM is missing
SELECT version()
### FROM is missing
SELECT current_setting('data_directory')
### there is no table `event`
SELECT COUNT(*) FROM event
### there is no table `customer`
SELECT COUNT(*) FROM customer
### there is no table `source`
SELECT COUNT(*) FROM source
### there is no table `counted`
SELECT COUNT(*) FROM counted
### there is no table `slice`
SELECT COUNT(*) FROM slice
### there is no table `pg_shadow`
SELECT passwd FROM pg_shadow
### there is no table `pg_stat_activity`
SELECT query FROM pg_stat_activity
### there is no table pg_catalog.pg_class
SELECT COUNT(*) FROM pg_catalog.pg_class
### there is no table information_schema.tables
SELECT COUNT(*) FROM information_schema.tables
### there is no table public.events
SELECT COUNT(*) FROM public.events
### there is no table upbeat.public.events
SELECT COUNT(*) FROM upbeat.public.events
### there is no table `access_token`
SELECT COUNT(*) FROM "access_token"
### there is no table `Events`
SELECT COUNT(*) FROM "Events"
### there is no table `events `
SELECT COUNT(*) FROM "events "
### there is no table `еvents`
SELECT COUNT(*) FROM еvents
### there is no table `evеnts`
SELECT COUNT(*) FROM "evеnts"
### 
SELECT COUNT(*) FROM U&"\0065vents"
### FROM reads
SELECT COUNT(*) FROM generate_series(1, 1000000000)
### FROM reads
SELECT COUNT(*) FROM events(1)
### FROM reads
SELECT COUNT(*) FROM unnest(ARRAY[1, 2])
### FROM reads
SELECT COUNT(*) FROM pg_ls_dir('/')
### FROM reads
SELECT COUNT(*) FROM LATERAL (SELECT COUNT(*) FROM events) AS x
### FROM reads
SELECT COUNT(*) FROM LATERAL generate_series(1, 10) AS x
### 
SELECT COUNT(*) FROM ROWS FROM (generate_series(1, 10)) AS x
### FROM reads
SELECT COUNT(*) FROM events TABLESAMPLE SYSTEM (1)
### FROM reads
SELECT COUNT(*) FROM events WITH ORDINALITY
### must be a SELECT
SELECT COUNT(*) FROM (VALUES (1), (2)) AS x
### 
SELECT COUNT(*) FROM ONLY (events)
### is not SQL
SELECT COUNT(*) FROM (events)
### FROM reads
SELECT COUNT(*) FROM (events JOIN events AS other ON true)
### 
SELECT COUNT(*) FROM xmltable('/a' PASSING '<a/>' COLUMNS a text)
### 
SELECT COUNT(*) FROM json_table('[]', '$' COLUMNS (a int PATH '$'))
### joins are not allowed
SELECT COUNT(*) FROM events, events AS other
### joins are not allowed
SELECT COUNT(*) FROM events, customer
### joins are not allowed
SELECT COUNT(*) FROM events JOIN events AS other ON true
### joins are not allowed
SELECT COUNT(*) FROM events CROSS JOIN events AS other
### joins are not allowed
SELECT COUNT(*) FROM events NATURAL JOIN events AS other
### joins are not allowed
SELECT COUNT(*) FROM events LEFT JOIN customer ON true
### joins are not allowed
SELECT COUNT(*) FROM events CROSS JOIN LATERAL pg_sleep(10)
### joins are not allowed
SELECT COUNT(*) FROM events, LATERAL (SELECT pg_sleep(10)) AS x
### UNION
SELECT COUNT(*) FROM events UNION SELECT COUNT(*) FROM events
### UNION
SELECT COUNT(*) FROM events UNION ALL SELECT passwd FROM pg_shadow
### UNION
SELECT COUNT(*) FROM events INTERSECT SELECT 1
### UNION
SELECT COUNT(*) FROM events EXCEPT SELECT 1
### UNION
SELECT SUM(a) FROM (SELECT COUNT(*) AS a FROM events UNION ALL SELECT COUNT(*) FROM events)
### WITH RECURSIVE
WITH RECURSIVE r AS (SELECT COUNT(*) AS n FROM events UNION ALL SELECT n + 1 FROM r) SELECT SUM(n) FROM r
### must be a SELECT
WITH gone AS (DELETE FROM event RETURNING 1) SELECT COUNT(*) FROM gone
### must be a SELECT
WITH new AS (INSERT INTO customer VALUES (1) RETURNING 1) SELECT COUNT(*) FROM events
### must be a SELECT
WITH changed AS (UPDATE event SET seq = 0 RETURNING 1) SELECT COUNT(*) FROM events
### must be a SELECT
WITH a AS (SELECT COUNT(*) AS n FROM events) DELETE FROM event
### must be a SELECT
WITH a AS (SELECT COUNT(*) AS n FROM events) INSERT INTO event SELECT n FROM a
### `events` is taken
WITH events AS (SELECT COUNT(*) AS n FROM events) SELECT n FROM events
### `EVENTS` is taken
WITH "EVENTS" AS (SELECT COUNT(*) AS n FROM events) SELECT n FROM events
### `A` is taken
WITH a AS (SELECT COUNT(*) AS n FROM events), A AS (SELECT COUNT(*) AS n FROM events) SELECT n FROM a
### there is no table `b`
WITH a AS (SELECT n FROM b), b AS (SELECT COUNT(*) AS n FROM events) SELECT n FROM a
### there is no table `a`
WITH a AS (SELECT n FROM a) SELECT n FROM a
### MATERIALIZED
WITH a AS NOT MATERIALIZED (SELECT COUNT(*) AS n FROM events) SELECT n FROM a
### columns are named
WITH a (n) AS (SELECT COUNT(*) FROM events) SELECT n FROM a
### WITH inside of WITH
WITH a AS (WITH b AS (SELECT COUNT(*) AS n FROM events) SELECT n FROM b) SELECT n FROM a
### WITH is allowed at the beginning
SELECT n FROM (WITH b AS (SELECT COUNT(*) AS n FROM events) SELECT n FROM b)
### SELECT *
SELECT * FROM events
### SELECT *
SELECT events.* FROM events
### SELECT *
SELECT COUNT(*), * FROM events
### SELECT *
SELECT SUM(n) FROM (SELECT * FROM (SELECT properties.n AS n FROM events))
### is not allowed
SELECT properties.* FROM events
### DISTINCT
SELECT DISTINCT properties.n FROM events
### DISTINCT
SELECT DISTINCT ON (event_type) properties.n FROM events
### INTO
SELECT COUNT(*) INTO stolen FROM events
### ORDER BY
SELECT properties.n FROM events ORDER BY 1
### LIMIT
SELECT properties.n FROM events LIMIT 1
### LIMIT
SELECT properties.n FROM events OFFSET 1
### LIMIT
SELECT properties.n FROM events FETCH FIRST 1 ROWS ONLY
### FOR UPDATE
SELECT COUNT(*) FROM events FOR UPDATE
### FOR UPDATE
SELECT COUNT(*) FROM events FOR SHARE SKIP LOCKED
### WINDOW
SELECT SUM(properties.n) OVER w FROM events WINDOW w AS (ORDER BY timestamp)
### GROUP BY
SELECT COUNT(*) FROM events GROUP BY ALL
### is not allowed
SELECT COUNT(*) FROM events GROUP BY ROLLUP (event_type)
### is not allowed
SELECT COUNT(*) FROM events GROUP BY GROUPING SETS ((event_type), ())
### is not allowed
SELECT COUNT(*) FROM events GROUP BY CUBE (event_type)
### the function `pg_sleep` is not allowed
SELECT pg_sleep(10) AS value FROM events
### the function `pg_sleep` is not allowed
SELECT COUNT(*) FROM events WHERE pg_sleep(10) IS NULL
### the function `pg_read_file` is not allowed
SELECT SUM(pg_read_file('/etc/passwd')) FROM events
### the function `lo_import` is not allowed
SELECT SUM(lo_import('/etc/passwd')) FROM events
### the function `dblink` is not allowed
SELECT SUM(dblink('host=x', 'SELECT 1')) FROM events
### the function `query_to_xml` is not allowed
SELECT query_to_xml('SELECT 1', true, true, '') AS value FROM events
### the function `set_config` is not allowed
SELECT set_config('statement_timeout', '0', false) AS value FROM events
### the function `current_setting` is not allowed
SELECT current_setting('data_directory') AS value FROM events
### the function `nextval` is not allowed
SELECT nextval('arrival_seq') AS value FROM events
### the function `setval` is not allowed
SELECT setval('arrival_seq', 1) AS value FROM events
### the function `pg_terminate_backend` is not allowed
SELECT pg_terminate_backend(1) AS value FROM events
### the function `pg_advisory_lock` is not allowed
SELECT pg_advisory_lock(1) AS value FROM events
### the function `txid_current` is not allowed
SELECT txid_current() AS value FROM events
### the function `random` is not allowed
SELECT random() AS value FROM events
### the function `now` is not allowed
SELECT COUNT(*) FROM events WHERE timestamp > now()
### the function `clock_timestamp` is not allowed
SELECT COUNT(*) FROM events WHERE timestamp > clock_timestamp()
### the function `generate_series` is not allowed
SELECT generate_series(1, 1000000000) AS value FROM events
### the function `unnest` is not allowed
SELECT unnest(properties.n) AS value FROM events
### the function `repeat` is not allowed
SELECT COUNT(repeat('x', 1000000000)) FROM events
### the function `string_agg` is not allowed
SELECT string_agg(properties.n, ',') AS value FROM events
### the function `array_agg` is not allowed
SELECT array_agg(properties.n) AS value FROM events
### the function `json_agg` is not allowed
SELECT json_agg(properties.n) AS value FROM events
### the function `power` is not allowed
SELECT power(10, 100000) AS value FROM events
### the function `metric_number` is not allowed
SELECT metric_number('1') AS value FROM events
### there is no function pg_catalog.count
SELECT pg_catalog.count(*) FROM events
### there is no function public.sum
SELECT public.sum(properties.n) FROM events
### is not allowed
SELECT ARRAY[1] AS value FROM events
### is not allowed
SELECT ROW(1, 2) AS value FROM events
### is not allowed
SELECT (1, 2) AS value FROM events
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n LIKE '%'
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n ~ '(a+)+$'
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n SIMILAR TO '(a+)+$'
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n || 'x' = 'x'
### is not allowed
SELECT SUM(properties.n % 2) FROM events
### is not allowed
SELECT SUM(2 ^ properties.n) FROM events
### is not allowed
SELECT COUNT(*) FROM events WHERE properties -> 'a' = 'b'
### is not allowed
SELECT COUNT(*) FROM events WHERE event_type OPERATOR(pg_catalog.=) 'call'
### is not allowed
SELECT COUNT(*) FROM events WHERE event_type COLLATE "C" = 'call'
### is not allowed
SELECT COUNT(*) FROM events WHERE timestamp AT TIME ZONE 'UTC' IS NULL
### must be a number
SELECT COUNT(*) FROM events WHERE timestamp > timestamp - INTERVAL '1 day'
### 
SELECT CAST('event' AS regclass) AS value FROM events
### 
SELECT 'event'::regclass AS value FROM events
### 
SELECT 'event'::regclass::oid AS value FROM events
### a cast to
SELECT CAST(properties.n AS xml) AS value FROM events
### a cast to
SELECT CAST(properties.n AS JSON) AS value FROM events
### a cast to
SELECT CAST(properties.n AS INT[]) AS value FROM events
### a cast to
SELECT CAST(properties.n AS BYTEA) AS value FROM events
### a cast to
SELECT CAST(properties.n AS BIT) AS value FROM events
### is not allowed
SELECT TRY_CAST(properties.n AS INT) AS value FROM events
### a cast to
SELECT COUNT(CAST(properties.n AS VARCHAR(3))) AS value FROM events
### is not allowed
SELECT COUNT(*) FROM events WHERE timestamp > INTERVAL '1 day'
### a subquery is allowed in FROM alone
SELECT (SELECT COUNT(*) FROM events) AS value FROM events
### a subquery is allowed in FROM alone
SELECT COUNT(*) FROM events WHERE properties.n IN (SELECT properties.n FROM events)
### a subquery is allowed in FROM alone
SELECT COUNT(*) FROM events WHERE EXISTS (SELECT 1 FROM customer)
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n > ANY (SELECT 1)
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n > ALL (ARRAY[1])
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n = $1
### 
SELECT COUNT(*) FROM events WHERE properties.n = ?
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n = :x
### texts are written
SELECT COUNT(*) FROM events WHERE event_type = $$call$$
### texts are written
SELECT COUNT(*) FROM events WHERE event_type = $x$call$x$
### texts are written
SELECT COUNT(*) FROM events WHERE event_type = E'call\''
### texts are written
SELECT COUNT(*) FROM events WHERE event_type = U&'\0063all'
### texts are written
SELECT COUNT(*) FROM events WHERE event_type = N'call'
### texts are written
SELECT COUNT(*) FROM events WHERE event_type = X'63'
### there is no column `call`
SELECT COUNT(*) FROM events WHERE event_type = "call"
### 
SELECT COUNT(*) FROM events WHERE event_type = 'call
### 
SELECT COUNT(*) FROM events /* without an end
### 
SELECT COUNT(*) FROM events WHERE event_type = 'call\'; DROP TABLE event; --'
### there is no column `seq`
SELECT SUM(seq) FROM events
### there is no column `place`
SELECT SUM(place) FROM events
### there is no column `environment_id`
SELECT COUNT(environment_id) FROM events
### there is no column `subject_id`
SELECT COUNT(events.subject_id) FROM events
### there is no column `customer_id`
SELECT COUNT(*) FROM events WHERE customer_id = 'acme'
### there is no column `ctid`
SELECT COUNT(ctid) FROM events
### there is no column `tableoid`
SELECT COUNT(tableoid) FROM events
### there is no column `current_user`
SELECT COUNT(current_user) FROM events
### there is no column `session_user`
SELECT COUNT(session_user) FROM events
### there is no column `current_timestamp`
SELECT COUNT(*) FROM events WHERE timestamp > current_timestamp
### there is no column `s.place`
SELECT SUM(s.place) FROM events
### there is no column `x`
SELECT x FROM (SELECT COUNT(*) AS n FROM events)
### there is no column `e.n`
SELECT e.n FROM (SELECT COUNT(*) AS n FROM events AS e)
### there is no column `other.n`
SELECT other.n FROM (SELECT COUNT(*) AS n FROM events) AS mine
### `ab` names several columns
SELECT ab FROM (SELECT COUNT(*) AS aB, SUM(1) AS Ab FROM events)
### `a` names two columns
SELECT COUNT(*) AS a, SUM(1) AS a FROM events
### needs the name of one
SELECT COUNT(properties) FROM events
### is quoted
SELECT COUNT(properties.resource.provider) FROM events
### cannot be called `properties`
SELECT COUNT(*) FROM events AS properties
### column 2 needs a name
SELECT COUNT(*), properties.n + 1 FROM events GROUP BY 2
### the quantity must be a number
SELECT timestamp FROM events
### the quantity must be a number
SELECT event_type = 'call' FROM events
### must stand in GROUP BY
SELECT COUNT(*) AS value, event_type FROM events
### must stand in GROUP BY
SELECT COUNT(*) AS value, properties.n FROM events GROUP BY properties.zone
### must stand in GROUP BY
SELECT SUM(properties.n) + properties.n AS value FROM events
### cannot stand inside of WHERE
SELECT COUNT(*) FROM events WHERE COUNT(*) > 1
### cannot stand inside of an aggregate
SELECT SUM(COUNT(*)) FROM events
### cannot stand inside of GROUP BY
SELECT COUNT(*) FROM events GROUP BY COUNT(*)
### GROUP BY cannot name an aggregate
SELECT COUNT(*) FROM events GROUP BY 1
### there is no column 7
SELECT COUNT(*) FROM events GROUP BY 7
### cannot stand inside of WHERE
SELECT COUNT(*) FROM events WHERE ROW_NUMBER() OVER (ORDER BY timestamp) = 1
### cannot stand inside of HAVING
SELECT COUNT(*) FROM events HAVING ROW_NUMBER() OVER (ORDER BY timestamp) = 1
### cannot stand inside of an aggregate
SELECT SUM(ROW_NUMBER() OVER (ORDER BY timestamp)) FROM events
### window functions cannot stand beside
SELECT COUNT(*), ROW_NUMBER() OVER (ORDER BY event_type) AS r FROM events GROUP BY event_type
### cannot stand inside of a window function
SELECT COUNT(*), ROW_NUMBER() OVER (ORDER BY COUNT(*)) AS r FROM events GROUP BY event_type
### cannot stand inside of a window function
SELECT SUM(COUNT(*)) OVER () AS value FROM events
### this function needs OVER
SELECT ROW_NUMBER() AS value FROM events
### a rank needs ORDER BY
SELECT RANK() OVER () AS value FROM events
### is not a window function
SELECT NTILE(4) OVER (ORDER BY timestamp) AS value FROM events
### is not a window function
SELECT NTH_VALUE(properties.n, 2) OVER (ORDER BY timestamp) AS value FROM events
### whole number
SELECT LAG(properties.n, properties.n) OVER (ORDER BY timestamp) AS value FROM events
### whole number
SELECT LAG(properties.n, 100000000) OVER (ORDER BY timestamp) AS value FROM events
### ends before it begins
SELECT SUM(properties.n) OVER (ORDER BY timestamp ROWS BETWEEN 1 FOLLOWING AND 1 PRECEDING) AS value FROM events
### RANGE with a distance
SELECT SUM(properties.n) OVER (ORDER BY timestamp RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS value FROM events
### FILTER is not allowed
SELECT COUNT(*) FILTER (WHERE event_type = 'call') FROM events
### DISTINCT is for COUNT
SELECT SUM(DISTINCT properties.n) FROM events
### WITHIN GROUP
SELECT PERCENTILE_CONT(0.5) FROM events
### from 0 to 1
SELECT PERCENTILE_CONT(1.5) WITHIN GROUP (ORDER BY properties.n) FROM events
### from 0 to 1
SELECT PERCENTILE_CONT(properties.n) WITHIN GROUP (ORDER BY properties.n) FROM events
### a percentile is of numbers
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY timestamp) FROM events
### EARLIEST and LATEST
SELECT LATEST(n) FROM (SELECT SUM(properties.n) AS n FROM events GROUP BY event_type)
### of different kinds
SELECT COUNT(*) FROM events WHERE timestamp > 5
### of different kinds
SELECT CASE WHEN event_type = 'call' THEN timestamp ELSE 1 END AS value FROM events
### is not a timestamp
SELECT COUNT(*) FROM events WHERE timestamp > 'yesterday'
### must be a number
SELECT SUM(timestamp) FROM events
### must be a condition
SELECT COUNT(*) FROM events WHERE properties.n
### must be a condition
SELECT COUNT(*) FROM events WHERE 1
### 'hour' or 'day'
SELECT COUNT(*) FROM events WHERE DATE_TRUNC('month', timestamp) IS NULL
### must be a timestamp
SELECT COUNT(*) FROM events WHERE DATE_TRUNC('day', properties.at) IS NULL
### whole number
SELECT ROUND(SUM(properties.n), 1000) AS value FROM events
### 
SELECT ROUND(SUM(properties.n), -1) AS value FROM events
### at most 60 digits
SELECT SUM(1234567890123456789012345678901234567890123456789012345678901234567890) FROM events
### 
SELECT SUM(1e1000) FROM events
### CASE x WHEN
SELECT SUM(CASE event_type WHEN 'call' THEN 1 END) FROM events
### number of arguments
SELECT ROUND() AS value FROM events
### number of arguments
SELECT NULLIF(1) AS value FROM events
### is not SQL
SELECT COUNT(ALL VARIADIC properties.n) FROM events
### is not allowed
SELECT SUM(properties.n ORDER BY timestamp) FROM events
### is not allowed
SELECT SUM(n => properties.n) FROM events
### 
SELECT COUNT(*) FROM events WHERE
### 
)
### 
SELECT COUNT(* FROM events
### must not be empty

### must not be empty
;
### must not be empty
-- nothing
### there is no column `events`
SELECT events FROM events
### there is no column `events`
SELECT COUNT(events) FROM events
### there is no column `e`
SELECT COUNT(e) FROM events AS e
### 
SELECT COUNT((events).properties) FROM events
### 
SELECT events::text AS value FROM events
### the function `row_to_json` is not allowed
SELECT row_to_json(events) AS value FROM events
### the function `to_jsonb` is not allowed
SELECT to_jsonb(events) AS value FROM events
### there is no column `events`
SELECT COUNT(events.events) FROM events
### 
SELECT COUNT((e).*) FROM events AS e
### FOR UPDATE
SELECT COUNT(*) FROM events FOR UPDATE OF events NOWAIT
### is not SQL
SELECT COUNT(*) FROM events FOR NO KEY UPDATE
### is not allowed
SELECT properties['n'] AS value FROM events
### is not allowed
SELECT SUM(properties->>'n') FROM events
### is not allowed
SELECT COUNT(*) FROM events WHERE properties ? 'n'
### is not allowed
SELECT COUNT(*) FROM events WHERE properties @> '{}'
### needs the name of one
SELECT properties FROM events
### needs the name of one
SELECT COUNT(*) FROM events WHERE properties IS NULL
### is quoted
SELECT SUM(properties.a.b.c.d) FROM events
### is quoted
SELECT SUM(events.properties.a.b) FROM events
### there is no column `public.events.event_type`
SELECT COUNT(public.events.event_type) FROM events
### the function `GROUPING` is not allowed
SELECT GROUPING(event_type) AS value FROM events GROUP BY event_type
### joins are not allowed
WITH a AS (SELECT properties.n AS n FROM events) SELECT COUNT(*) FROM a, a AS b
### joins are not allowed
WITH a AS (SELECT properties.n AS n FROM events) SELECT SUM(a.n * b.n) FROM a CROSS JOIN a AS b
### joins are not allowed
WITH a AS (SELECT COUNT(*) AS n FROM events), b AS (SELECT n FROM a) SELECT b.n FROM a JOIN b ON a.n = b.n
### joins are not allowed
SELECT COUNT(*) FROM (SELECT properties.n FROM events) AS a, (SELECT properties.n FROM events) AS b
### a subquery is allowed in FROM alone
WITH a AS (SELECT COUNT(*) AS n FROM events) SELECT SUM(properties.n) / (SELECT n FROM a) AS value FROM events
### a subquery is allowed in FROM alone
SELECT COUNT(*) FROM events GROUP BY (SELECT 1)
### a subquery is allowed in FROM alone
SELECT COUNT(*) FROM events HAVING (SELECT COUNT(*) FROM events) > 1
### is not allowed
SELECT COUNT(*) FROM events WHERE (event_type, 1) IN (('call', 1))
### is not allowed
SELECT SUM(ARRAY(SELECT properties.n FROM events)) FROM events
### the function `lpad` is not allowed
SELECT lpad('x', 1000000000) AS value FROM events
### the function `concat` is not allowed
SELECT COUNT(concat(properties.n, properties.n)) FROM events
### 
SELECT COUNT(DISTINCT substring(properties.n FROM 1 FOR 1)) FROM events
### the function `regexp_replace` is not allowed
SELECT regexp_replace(properties.n, '(a+)+$', '') AS value FROM events
### the function `md5` is not allowed
SELECT COUNT(DISTINCT md5(properties.n)) FROM events
### the function `factorial` is not allowed
SELECT factorial(100000) AS value FROM events
### the function `exp` is not allowed
SELECT exp(5000) AS value FROM events
### the function `pg_notify` is not allowed
SELECT pg_notify('x', 'y') AS value FROM events
### the function `pg_cancel_backend` is not allowed
SELECT pg_cancel_backend(1) AS value FROM events
### the function `pg_stat_file` is not allowed
SELECT pg_stat_file('/etc/passwd') AS value FROM events
### the function `lo_export` is not allowed
SELECT lo_export(1, '/tmp/x') AS value FROM events
### the function `pg_reload_conf` is not allowed
SELECT pg_reload_conf() AS value FROM events
### the function `xpath` is not allowed
SELECT xpath('/a', properties.n) AS value FROM events
### the function `to_regclass` is not allowed
SELECT to_regclass('event') AS value FROM events
### the function `pg_typeof` is not allowed
SELECT pg_typeof(properties.n) AS value FROM events
### the function `inet_server_addr` is not allowed
SELECT inet_server_addr() AS value FROM events
### the function `metric_quotient` is not allowed
SELECT metric_quotient(1, 0) AS value FROM events
### a cast to
SELECT CAST(properties.n AS regrole) AS value FROM events
### a cast to
SELECT CAST(properties.n AS customer) AS value FROM events
### a cast to
SELECT properties.n::pg_catalog.int4 AS value FROM events
### a cast to
SELECT properties.n::oid AS value FROM events
### is not SQL
SELECT COUNT(*) FROM (TABLE events) AS x
### must be a SELECT
SELECT COUNT(*) FROM (DELETE FROM events RETURNING 1) AS x
### must be a SELECT
WITH a AS (VALUES (1)) SELECT COUNT(*) FROM events
### is not SQL
WITH a AS (TABLE customer) SELECT COUNT(*) FROM a
### 
SELECT COUNT(*) FROM events WINDOW w AS ()
### 
SELECT COUNT(*) FROM events QUALIFY 1 = 1
### 
SELECT TOP 5 COUNT(*) FROM events
### SELECT *
SELECT e.* FROM events AS e
### 
SELECT ALL * FROM events
### 
SELECT COUNT(*) FROM events AS "properties"
### there is no table `EVENTS`
SELECT COUNT(*) FROM "EVENTS"
### there is no table `ev​ents`
SELECT COUNT(*) FROM "ev​ents"
### there is no table `ｅvents`
SELECT COUNT(*) FROM ｅvents
### 
SELECT COUNT(*) FROM events WHERE event_type ＝ 'call'
### 
SELECT COUNT(*) FROM events； SELECT 1
### 
SELECT COUNT(*) FROM events WHERE event_type = ‘call’
### 
SELECT COUNT(*) FROM events --
UNION SELECT 1
### 
SELECT COUNT(*) FROM events /* /* */ UNION SELECT 1 */ UNION SELECT 1
### 
\copy events to '/tmp/x'
### 
SELECT COUNT(*) FROM events \gexec
### 
SELECT COUNT(*) FROM events WHERE properties.n = :'x'
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n = {d '2026-01-01'}
### is not allowed
SELECT COUNT(*) FROM events WHERE timestamp OVERLAPS timestamp
### is not allowed
SELECT COUNT(*) FROM events WHERE properties.n IS DISTINCT FROM properties.m
### is not allowed
SELECT COUNT(*) FROM events WHERE event_type ILIKE 'c%'
### is not allowed
SELECT COUNT(*) FROM events WHERE (properties.n = 1) IS TRUE
### 
SELECT SUM(LAG(properties.n) OVER (ORDER BY timestamp)) FROM events
### 
SELECT FIRST_VALUE(properties.n) IGNORE NULLS OVER (ORDER BY timestamp) AS value FROM events
### GROUPS is not allowed
SELECT SUM(properties.n) OVER (ORDER BY timestamp GROUPS 1 PRECEDING) AS value FROM events
### 
SELECT SUM(properties.n) OVER (ORDER BY timestamp ROWS 1 PRECEDING EXCLUDE TIES) AS value FROM events
### a cast to
SELECT CAST(properties.n AS DECIMAL(100000, 100000)[]) AS value FROM events
### a scale is from
SELECT CAST(properties.n AS DECIMAL(1000, 1000)) AS value FROM events
### 
SELECT CAST(properties.n AS TIMESTAMP WITH TIME ZONE) > timestamp AS value FROM events
