-- A metric is counted by its structured columns, or by a query over raw events; never by both.
ALTER TABLE billable_metric ALTER COLUMN aggregation_type DROP NOT NULL;
ALTER TABLE billable_metric ADD COLUMN sql text;
ALTER TABLE billable_metric ADD CONSTRAINT billable_metric_counts_one_way CHECK (
    (sql IS NULL) = (aggregation_type IS NOT NULL)
    AND (sql IS NULL OR (aggregation_key IS NULL AND event_type_filter IS NULL AND property_filters IS NULL
                         AND group_keys IS NULL))
);

-- How a product breaks down what a query counts; null where it never said.
ALTER TABLE product ADD COLUMN sql_breakdown_granularity text
    CHECK (sql_breakdown_granularity IN ('HOUR', 'SERVICE_PERIOD'));

-- What the queries of metrics compute with. Each answers null where a value is none of its kind; none reads a table.

-- As PropertyValue::as_number reads a text. No property is a number of more than 1,000 characters; what a query computed
-- may be longer, but no longer than numeric can be.
CREATE FUNCTION metric_number(given text) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    trimmed text := btrim(given, E' \t\n\f\r');
BEGIN
    IF octet_length(trimmed) <= 16000
       AND trimmed ~ '^[+-]?([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?0*([0-9]{1,2}|100))?$' THEN
        RETURN trimmed::numeric;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION metric_boolean(given text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE lower(btrim(given, E' \t\n\f\r'))
        WHEN 'true' THEN true WHEN 't' THEN true WHEN '1' THEN true WHEN 'yes' THEN true
        WHEN 'false' THEN false WHEN 'f' THEN false WHEN '0' THEN false WHEN 'no' THEN false
    END
$$;

-- A date, or a date and a time with or without an offset; without one it is of UTC.
CREATE FUNCTION metric_timestamp(given text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE STRICT SET timezone = 'UTC' AS $$
DECLARE
    trimmed text := btrim(given, E' \t\n\f\r');
BEGIN
    IF trimmed ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$' THEN
        RETURN trimmed::timestamptz;
    END IF;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;

-- To 20 decimals, halves to the even neighbour; null where the divisor is 0.
CREATE FUNCTION metric_quotient(dividend numeric, divisor numeric) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    shifted numeric := dividend * 100000000000000000000;
    quotient numeric;
    doubled_rest numeric;
BEGIN
    IF divisor = 0 THEN
        RETURN NULL;
    END IF;
    quotient := div(shifted, divisor);
    doubled_rest := 2 * abs(shifted - quotient * divisor);
    IF doubled_rest > abs(divisor) OR (doubled_rest = abs(divisor) AND mod(quotient, 2) <> 0) THEN
        quotient := quotient + sign(dividend) * sign(divisor);
    END IF;
    RETURN trim_scale(quotient * 0.00000000000000000001);
END
$$;
