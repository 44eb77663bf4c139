# Queries over the events of tests/it/sql_metrics.rs, each behind `###` and its answer: the quantity, or
# by a column in brackets its quantities.
### 8
SELECT COUNT(*) FROM events
### 8
SELECT COUNT() AS value FROM events;
### 6
SELECT COUNT(properties.n) FROM events
### 3
select count(distinct properties.user) as VALUE from EVENTS
### 34
SELECT SUM(properties.n) AS value FROM events
### 11
SELECT MAX(properties.n) FROM events
### -3
SELECT MIN(properties.n) FROM events
### 5.66666666666666666667
SELECT AVG(properties.n) FROM events
### -3
SELECT LATEST(properties.n) FROM events
### 4
SELECT EARLIEST(properties.n) FROM events
### 10
SELECT LATEST(CAST(properties.gb AS DECIMAL)) FROM events
### 22.5
SELECT SUM(CAST(properties.gb AS DECIMAL)) FROM events
### 22.5
SELECT SUM(properties.gb) FROM events
### [zone] fra: 11 | nyc: 7 | nyc : -3
SELECT MAX(properties.n) AS value, properties.zone FROM events WHERE event_type = 'call' GROUP BY zone
### 3
SELECT COUNT(*) FROM events WHERE properties.n > 6
### 2
SELECT COUNT(*) FROM events WHERE properties.n > '6'
### 4
SELECT COUNT(*) FROM events WHERE properties.n >= 6
### 4
SELECT COUNT(*) FROM events WHERE properties.n ≥ 6
### 3
SELECT COUNT(*) FROM events WHERE properties.n ≤ 6
### 2
SELECT COUNT(*) FROM events WHERE event_type != 'call'
### 2
SELECT COUNT(*) FROM events WHERE event_type <> 'call'
### 5
SELECT COUNT(*) FROM events WHERE properties.zone IN ('fra', 'nyc')
### 3
SELECT COUNT(*) FROM events WHERE properties.zone NOT IN ('fra')
### 3
SELECT COUNT(*) FROM events WHERE properties.n IN (4, 7.0, -3)
### 2
SELECT COUNT(*) FROM events WHERE properties.zone IS NULL
### 6
SELECT COUNT(*) FROM events WHERE properties.zone IS NOT NULL
### 24
SELECT SUM(CASE WHEN properties.zone = 'fra' THEN properties.n ELSE 0 END) FROM events
### 30
SELECT LEAST(GREATEST(SUM(properties.n), 10), 30) AS value FROM events
### 5.67
SELECT ROUND(AVG(properties.n), 2) AS value FROM events
### 6
SELECT ROUND(AVG(properties.n)) AS value FROM events
### 6
SELECT CEIL(AVG(properties.n)) AS value FROM events
### 5
SELECT FLOOR(AVG(properties.n)) AS value FROM events
### 4.25
SELECT SUM(properties.n) / COUNT(*) AS value FROM events
### 0.33333333333333333333
SELECT SUM(1) / 24 AS value FROM events
### 0
SELECT SUM(1) / 1600000000000000000000 AS value FROM events
### 0.00000000000000000002
SELECT SUM(3) / 1600000000000000000000 AS value FROM events
### 0
SELECT SUM(properties.n) / 0 AS value FROM events
### 22
SELECT CAST(SUM(properties.gb) AS INT) AS value FROM events
### -22
SELECT CAST(0 - SUM(properties.gb) AS BIGINT) AS value FROM events
### 22.5
SELECT CAST(SUM(properties.gb) AS DOUBLE) AS value FROM events
### 4
SELECT COUNT(DISTINCT DATE_TRUNC('day', timestamp)) FROM events
### 6
SELECT COUNT(DISTINCT DATE_TRUNC('hour', timestamp)) FROM events
### 4
SELECT COUNT(DISTINCT CAST(timestamp AS DATE)) FROM events
### 6
SELECT AVG(peak) FROM (
    SELECT DATE_TRUNC('day', timestamp) AS d, MAX(properties.n) AS peak FROM events WHERE event_type = 'call' GROUP BY d
)
### 6
WITH daily AS (
    SELECT DATE_TRUNC('day', timestamp) AS timestamp, MAX(properties.n) AS peak
    FROM events WHERE event_type = 'call' GROUP BY timestamp
)
SELECT AVG(peak) AS value FROM daily
### 23
WITH calls AS (SELECT properties.n AS n, properties.user AS who, timestamp FROM events WHERE event_type = 'call'),
     ranked AS (SELECT n, ROW_NUMBER() OVER (PARTITION BY who ORDER BY timestamp DESC) AS place FROM calls)
SELECT SUM(n) AS value FROM ranked WHERE place = 1
### 6.5
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY properties.n) FROM events
### 10.5
SELECT PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY CAST(properties.n AS DECIMAL)) AS p95 FROM events
### 11
SELECT PERCENTILE_DISC(0.95) WITHIN GROUP (ORDER BY properties.n) FROM events
### 6
SELECT PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY properties.n) FROM events
### -3
SELECT PERCENTILE_CONT(0) WITHIN GROUP (ORDER BY properties.n) FROM events
### 11
SELECT PERCENTILE_CONT(1) WITHIN GROUP (ORDER BY properties.n) FROM events
### 8.5
SELECT PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY properties.n DESC) FROM events
### [zone] fra: 9 | nyc: 6.5 | nyc : -3
SELECT properties.zone, PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY properties.n) AS value
FROM events WHERE properties.n IS NOT NULL GROUP BY properties.zone
### 14
SELECT SUM(GREATEST(n - before, 0)) FROM (
    SELECT CAST(properties.n AS DECIMAL) AS n, LAG(properties.n, 1, 0) OVER (ORDER BY timestamp) AS before
    FROM events WHERE event_type = 'call'
)
### 37
SELECT MAX(running) FROM (
    SELECT SUM(properties.n) OVER (ORDER BY timestamp) AS running FROM events WHERE event_type = 'call'
)
### 17
SELECT MAX(two) FROM (
    SELECT SUM(properties.n) OVER (ORDER BY timestamp ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two
    FROM events WHERE event_type = 'call'
)
### 3
SELECT COUNT(*) FROM (
    SELECT RANK() OVER (ORDER BY properties.zone) AS place FROM events WHERE properties.zone IS NOT NULL
) AS ranked WHERE ranked.place = 1
### 3
SELECT MAX(place) FROM (
    SELECT DENSE_RANK() OVER (ORDER BY properties.zone) AS place FROM events WHERE properties.zone IS NOT NULL
)
### 706.25
SELECT SUM(n * seconds) / 3600 AS value FROM (
    SELECT properties.n AS n,
           EXTRACT(EPOCH FROM LEAD(timestamp) OVER (ORDER BY timestamp)) - EXTRACT(EPOCH FROM timestamp) AS seconds
    FROM events WHERE event_type = 'call'
)
### 10
SELECT SUM(closing - opening) FROM (
    SELECT ROW_NUMBER() OVER (PARTITION BY DATE_TRUNC('day', timestamp) ORDER BY timestamp) AS place,
           FIRST_VALUE(properties.n) OVER (PARTITION BY DATE_TRUNC('day', timestamp) ORDER BY timestamp) AS opening,
           LAST_VALUE(properties.n) OVER (
               PARTITION BY DATE_TRUNC('day', timestamp) ORDER BY timestamp
               ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
           ) AS closing
    FROM events WHERE event_type = 'call'
) WHERE place = 1
### 8
SELECT MAX(c) FROM (SELECT COUNT(*) OVER () AS c FROM events)
### 5.66666666666666666667
SELECT MIN(a) FROM (SELECT AVG(properties.n) OVER () AS a FROM events)
### 31
SELECT SUM(total) FROM (
    SELECT SUM(properties.n) AS total, properties.user FROM events GROUP BY user HAVING SUM(properties.n) > 8
)
### 36
SELECT SUM(COALESCE(properties.n, 1)) FROM events
### 30
SELECT SUM(NULLIF(properties.n, 4)) FROM events
### 40
SELECT SUM(ABS(properties.n)) FROM events
### 3
SELECT COUNT(*) FROM events WHERE properties.n BETWEEN 4 AND 7
### 3
SELECT COUNT(*) FROM events WHERE properties.n NOT BETWEEN 4 AND 7
### 1
SELECT COUNT(properties."resource.provider") FROM events
### 1
SELECT COUNT(properties.userId) FROM events
### 0
SELECT COUNT(properties.userid) FROM events
### 1
SELECT COUNT(*) FROM events WHERE properties.ok = TRUE
### 1
SELECT COUNT(*) FROM events WHERE properties.ok = 'false'
### 1
SELECT COUNT(*) FROM events WHERE CAST(properties.ok AS BOOLEAN)
### 4
SELECT COUNT(*) FROM events WHERE timestamp >= '2026-03-04'
### 2
SELECT COUNT(*) FROM events WHERE timestamp < TIMESTAMP '2026-03-02 08:00:00'
### 5
SELECT COUNT(*) FROM events WHERE event_type = 'call' AND NOT properties.zone = 'fra' OR event_type = 'login'
### [z] null: 2 | fra: 3 | nyc: 2 | nyc : 1
SELECT properties.zone AS z, COUNT(*) AS value FROM events GROUP BY 1
### 6
SELECT COUNT(e.properties.n) FROM events AS e WHERE e.event_type = 'call'
### 8
SELECT /* how many */ COUNT(*) -- of all
FROM events
### 34
SELECT properties.n AS value FROM events WHERE event_type = 'call'
### null
SELECT SUM(properties.n) FROM events WHERE properties.zone = 'o''brien; DROP TABLE event; --'
### 122.5
SELECT SUM(properties.n * properties.gb) FROM events
### -34
SELECT SUM(-properties.n) FROM events
### 800
SELECT SUM(1e2) FROM events
### 2.4
SELECT SUM(0.1 + 0.2) FROM events
### 1
SELECT COUNT(*) FROM events WHERE CAST(properties.n AS VARCHAR) = '9'
### 2
SELECT COUNT(DISTINCT CAST(properties.gb AS DECIMAL)) FROM events
### 34
SELECT SUM(properties.n::int) FROM events
### [day] 2026-03-01T00:00:00Z: 13 | 2026-03-02T00:00:00Z: 7 | 2026-03-04T00:00:00Z: 17 | 2026-03-05T00:00:00Z: -3
SELECT SUM(properties.n) AS value, DATE_TRUNC('day', timestamp) AS day FROM events GROUP BY day
### [is_many] false: 3 | true: 3
SELECT COUNT(*) AS value, properties.n > 6 AS is_many FROM events WHERE properties.n IS NOT NULL GROUP BY is_many
### 3
WITH a AS (SELECT properties.n AS n FROM events), b AS (SELECT n FROM a WHERE n > 4), c AS (SELECT n FROM b WHERE n < 10)
SELECT COUNT(*) AS value FROM c
### 123456789012345678901234567890.5
SELECT MAX(123456789012345678901234567890.5) FROM events
### 1
SELECT COUNT(*) FROM events WHERE CAST(properties.n AS STRING) = '9'
### 23
SELECT SUM(CAST(properties.gb AS NUMERIC(10, 0))) FROM events
### 1
SELECT COUNT(*) FROM events WHERE CAST('2026-03-01T08:00:00Z' AS TIMESTAMP) = timestamp
### 0
SELECT COUNT(CAST(properties.user AS TIMESTAMP)) FROM events
### 7
SELECT COUNT(properties.user) FROM events
### 0
SELECT COUNT(properties.select) + COUNT(properties.timestamp) + COUNT(properties.case) + COUNT(properties.interval) FROM events
### 37
SELECT SUM(properties.n) FROM events
WHERE properties.n IS NOT NULL AND (properties.zone = 'fra' OR properties.zone = 'nyc')
### 6
SELECT SUM(CASE WHEN properties.n > 8 THEN 2 WHEN properties.n > 5 THEN 1 END) FROM events
### 14
SELECT MAX(properties.n) - MIN(properties.n) AS value FROM events
### 4
SELECT MAX(opening) FROM (SELECT FIRST_VALUE(properties.n) OVER () AS opening FROM events WHERE event_type = 'call')
### 4
SELECT SUM(n) FROM (SELECT properties.n AS n, ROW_NUMBER() OVER () AS place FROM events) WHERE place = 1
### 1
SELECT CASE WHEN LATEST(event_type) = 'login' THEN 1 ELSE 0 END AS value FROM events WHERE timestamp < '2026-03-05'
### 0
SELECT CASE WHEN EARLIEST(event_type) = 'login' THEN 1 ELSE 0 END AS value FROM events WHERE timestamp > '2026-03-04 11:00:00'
### 8
SELECT COUNT(*) FROM events WHERE event_type = 'call' OR NULL IS NULL
### 6
SELECT SUM(least_of) FROM (SELECT LEAST(properties.n, properties.gb, 5) AS least_of FROM events WHERE properties.gb = '10' OR properties.n = -3 OR properties.n = 7)
### 0
SELECT SUM(properties.nothing) FROM events
### 0
SELECT COUNT(*) AS value, properties.zone FROM events GROUP BY zone HAVING COUNT(*) > 3
### [zone] fra: 0 | nyc: 0 | nyc : 0
SELECT SUM(properties.nothing) AS value, properties.zone FROM events WHERE event_type = 'call' GROUP BY zone
### 44
SELECT SUM(last) FROM (
    SELECT LAST_VALUE(properties.n) OVER (ORDER BY DATE_TRUNC('day', timestamp)) AS last
    FROM events WHERE event_type = 'call'
)
### 39
SELECT SUM(last) FROM (
    SELECT LAST_VALUE(properties.n) OVER (PARTITION BY properties.zone ORDER BY DATE_TRUNC('day', timestamp)) AS last
    FROM events WHERE event_type = 'call'
)
### -18
SELECT SUM(last) FROM (SELECT LAST_VALUE(properties.n) OVER () AS last FROM events WHERE event_type = 'call')
### 24
SELECT SUM(first) FROM (
    SELECT FIRST_VALUE(properties.n) OVER (
               ORDER BY DATE_TRUNC('day', timestamp) RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
           ) AS first
    FROM events WHERE event_type = 'call'
)
### 24
SELECT SUM(last) FROM (
    SELECT LAST_VALUE(properties.n) OVER (ORDER BY timestamp) AS last FROM events WHERE properties.zone = 'fra'
)
### 8.5
SELECT PERCENTILE_CONT(0.75) WITHIN GROUP (ORDER BY properties.n) FROM events
### 9
SELECT PERCENTILE_DISC(0.25) WITHIN GROUP (ORDER BY properties.n DESC) FROM events
### 0
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY properties.nothing) FROM events
### 0
SELECT PERCENTILE_DISC(0) WITHIN GROUP (ORDER BY properties.nothing) FROM events
### 13
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY properties.n) + PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY properties.n DESC) - LATEST(properties.n) - MIN(properties.n) - 6.5 AS value FROM events
### 19
SELECT SUM(p) FROM (
    SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY properties.n) AS p, properties.user AS who
    FROM events WHERE event_type = 'call' GROUP BY who
)
### 10
SELECT LATEST(properties.gb) FROM events WHERE properties.gb <> 'abc'
### 1
SELECT CASE WHEN LATEST(properties.user) = 'A' THEN 1 ELSE 0 END AS value FROM events
### 0
SELECT CASE WHEN LATEST(CAST(properties.ok AS BOOLEAN)) THEN 1 ELSE 0 END AS value FROM events
### 1
SELECT CASE WHEN EARLIEST(CAST(properties.ok AS BOOLEAN)) THEN 1 ELSE 0 END AS value FROM events
### 1
SELECT CASE WHEN LATEST(timestamp) = '2026-03-05' AND EARLIEST(timestamp) = '2026-03-01T08:00:00Z' THEN 1 END AS value FROM events
### 4
SELECT COUNT(*) FROM events WHERE timestamp >= '2026-03-04' AND timestamp < '2026-03-06' AND 'x' = 'x'
### -3
SELECT ROUND(SUM(CASE WHEN properties.n = -3 THEN -2.5 ELSE 0 END)) AS value FROM events
### 3
SELECT ROUND(SUM(CASE WHEN properties.n = 4 THEN 2.5 ELSE 0 END)) AS value FROM events
### 0.12
SELECT ROUND(SUM(CASE WHEN properties.n = 4 THEN 0.115 ELSE 0 END), 2) AS value FROM events
### -2
SELECT CAST(SUM(CASE WHEN properties.n = 4 THEN -2.9 ELSE 0 END) AS INT) AS value FROM events
### -0.66666666666666666667
SELECT SUM(CASE WHEN properties.n = 4 THEN -2 ELSE 0 END) / 3 AS value FROM events
### 0.00000000000000000002
SELECT SUM(CASE WHEN properties.n = 4 THEN 1.5 ELSE 0 END) / 100000000000000000000 AS value FROM events
### 0.00000000000000000002
SELECT SUM(CASE WHEN properties.n = 4 THEN 2.5 ELSE 0 END) / 100000000000000000000 AS value FROM events
### 8.5
SELECT AVG(day_total) FROM (
    SELECT DATE_TRUNC('day', timestamp) AS d, SUM(properties.n) AS day_total
    FROM events WHERE event_type = 'call' GROUP BY d
)
