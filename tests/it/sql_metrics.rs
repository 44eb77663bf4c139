//! Metrics that queries count: which queries there are, what they answer, and what they cannot do.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, Role, Settings, find_environment};
use upbeat::catalog::billable_metric::sql::parse;
use upbeat::event::upkeep;
use upbeat::usage::sql::TIME_LIMIT;

use crate::support::{Api, Metric};
use crate::world::{beyond_all_bounds, with};

const CREATE: &str = "/v1/billable-metrics/create";
const NOW: &str = "2026-03-10T12:00:00Z";

/// The statements of a file, each with the line above it that says what comes of it.
fn statements(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let parts = file.split("\n###").skip(1);
    let statement = |part: &'static str| {
        let (says, sql) = part.split_once('\n').expect("a statement behind its heading");
        (says.trim_start(), sql)
    };
    parts.map(statement).collect()
}

async fn metric(api: &Api, sql: &str) -> String {
    let answer = api.post(CREATE, json!({ "name": "query", "sql": sql })).await;
    assert_eq!(answer.status, 200, "{sql}: {}", answer.body);
    answer.id()
}

/// The customer `acme` with six calls and two logins.
async fn acme(api: &Api) -> String {
    let customer = api.customer("acme").await;
    let events = [
        ("call", "01T08:00:00", json!({ "n": "4", "user": "A", "zone": "fra", "gb": "10" })),
        ("call", "01T09:30:00", json!({ "n": 9, "user": "B", "zone": "fra", "gb": 2.50 })),
        ("call", "02T08:00:00", json!({ "n": "7", "user": "A", "zone": "nyc" })),
        ("login", "02T08:00:00", json!({ "user": "C", "ok": true })),
        ("call", "04T10:00:00", json!({ "n": " 6 ", "user": "C", "zone": "nyc", "gb": "1e1" })),
        ("call", "04T11:15:00", json!({ "n": "11", "user": "A", "zone": "fra", "gb": "abc" })),
        (
            "login",
            "04T11:15:00",
            json!({ "user": "A", "ok": false, "resource.provider": "aws", "userId": "x1" }),
        ),
        ("call", "05T00:00:00", json!({ "n": "-3", "user": null, "zone": "nyc " })),
    ];
    let event = |(place, (kind, at, properties)): (usize, &(&str, &str, Value))| {
        json!({
            "transaction_id": format!("e{place}"), "customer_id": "acme", "event_type": kind,
            "timestamp": format!("2026-03-{at}Z"), "properties": properties,
        })
    };
    let mut events: Vec<Value> = events.iter().enumerate().map(event).collect();
    // In another order than that of time, and the first twice; some in segments, and some not yet.
    events.rotate_left(3);
    events.push(events[5].clone());
    let later = events.split_off(6);
    api.events(events.into()).await;
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    upkeep(&api.app, &sandbox).await.expect("in order");
    api.events(later.into()).await;
    assert_eq!(api.number("SELECT sum(event_count) FROM event_segment").await, 6);
    assert_eq!(api.number("SELECT count(*) FROM segment_pending").await, 1);
    customer
}

/// Another customer and another environment with events of the same names, which no query of `acme` may see.
async fn strangers(api: &Api) {
    let production = api.with_token(EnvironmentKind::Production, Role::Admin).await;
    let now = api.app.clock.now();
    for (api, received, at) in
        [(api, "other", "2026-03-02T08:00:00Z".to_owned()), (&production, "acme", upbeat::time::shown(now))]
    {
        api.customer(received).await;
        let event = |(place, kind): (usize, &str)| {
            json!({
                "transaction_id": format!("stranger {place}"), "customer_id": received, "event_type": kind,
                "timestamp": at,
                "properties": { "n": 5000 + place, "user": "stranger", "zone": "fra", "gb": "7777", "ok": true },
            })
        };
        api.events(["call", "call", "login", "secret"].into_iter().enumerate().map(event).collect()).await;
    }
}

/// The usage of March: as a whole, or by the metric's one other column.
async fn usage(api: &Api, customer: &str, metric: &str, column: Option<&str>) -> String {
    let mut body = json!({
        "customer_id": customer, "billable_metric_id": metric, "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-04-01T00:00:00Z",
    });
    if let Some(column) = column {
        body["group_key"] = json!([column]);
    }
    let answer = api.post("/v1/usage/groups", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = answer.data();
    let row = |row: &Value| match column {
        Some(_) => format!("{}: {}", row["group_value"].as_str().unwrap_or("null"), row["value"]),
        None => row["value"].to_string(),
    };
    rows.as_array().expect("rows").iter().map(row).collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn legitimate_queries_have_known_answers() {
    let statements = statements(include_str!("sql/legitimate.sql"));
    assert!(statements.len() >= 60);
    have_known_answers(statements).await;
}

#[tokio::test]
async fn what_looks_hostile_and_is_taken_sees_nothing_of_others() {
    let statements = statements(include_str!("sql/harmless.sql"));
    assert!(statements.len() >= 40);
    have_known_answers(statements).await;
}

async fn have_known_answers(statements: Vec<(&'static str, &'static str)>) {
    let api = Api::at(NOW).await;
    let customer = acme(&api).await;
    strangers(&api).await;
    let facts = api.number("SELECT count(*) FROM event_key").await;
    let mut wrong = Vec::new();
    for (expected, sql) in statements {
        let metric = metric(&api, sql).await;
        let by_column = expected.strip_prefix('[').and_then(|expected| expected.split_once("] "));
        let (column, expected) =
            by_column.map_or((None, expected), |(column, expected)| (Some(column), expected));
        let answer = usage(&api, &customer, &metric, column).await;
        if answer != expected {
            wrong.push(format!("{sql}\nshould be {expected}\nbut is {answer}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.number("SELECT count(*) FROM event_key").await, facts, "nothing is changed");
}

#[tokio::test]
async fn hostile_statements_are_refused_with_a_reason() {
    let api = Api::at(NOW).await;
    let statements = statements(include_str!("sql/hostile.sql"));
    assert!(statements.len() >= 150);
    let mut wrong = Vec::new();
    for (reason, sql) in statements {
        let answer = api.post(CREATE, json!({ "name": "query", "sql": sql })).await;
        let message = answer.body["message"].as_str().unwrap_or_default();
        if answer.status != 400 || !message.starts_with("sql: ") || !message.contains(reason) {
            wrong.push(format!(
                "{sql}\nshould be refused with `{reason}`, but: {} {}\n",
                answer.status, answer.body
            ));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    let listed = api.get("/v1/billable-metrics").await.data();
    assert_eq!(listed, json!([]), "none was made");
}

/// What opens something in an expression or in FROM.
const OPENS: &[&str] = &[
    "(",
    "COUNT(",
    "CAST(",
    "COALESCE(1, ",
    "x IN (",
    "NOT (",
    "- (",
    "ARRAY[",
    "ROW(",
    "EXISTS (",
    "EXISTS (SELECT ",
    "(SELECT ",
    "EXTRACT(EPOCH FROM ",
    "INTERVAL (",
    "TIMESTAMP (",
    "CASE WHEN (",
    "CASE ",
    "x BETWEEN (",
    "f(a => ",
    "{ 'a': ",
    "x[",
    "SUBSTRING(",
    "TRIM(",
    "POSITION(",
    "OVERLAY(",
    "(1, ",
    "x = ANY(",
    "CONVERT(",
    "STRUCT(",
    "MAP {",
    "a -> (",
    "IF (",
    "x.y(",
    "(x -> ",
    "CEIL(",
    "DATE (",
    "SUM(x) OVER (",
    "COUNT(*) FILTER (WHERE ",
    "LISTAGG(",
    "x.",
    "(events JOIN ",
    "LATERAL (",
    "unnest(",
    "(SELECT 1 FROM ",
    "(VALUES (",
    "TABLE(",
    "((SELECT 1) UNION (",
    "NOT ",
    "- ",
    "x OR ",
    "INTERVAL ",
    "PRIOR ",
    "ARRAY(",
    "x COLLATE ",
    "x::int[",
];

/// A parser that tries one way and then another takes twice as long with each level.
#[test]
fn no_two_things_that_open_make_reading_slow() {
    let mut slowest = (Duration::ZERO, String::new());
    for (one, other) in OPENS.iter().flat_map(|one| OPENS.iter().map(move |other| (one, other))) {
        for start in ["SELECT ", "SELECT 1 FROM "] {
            let sql = format!("{start}{}", [*one, *other].concat().repeat(14));
            let began = Instant::now();
            assert!(parse(&sql).is_err(), "{sql}");
            slowest = slowest.max((began.elapsed(), sql));
            assert!(slowest.0 < Duration::from_secs(1), "{slowest:?}");
        }
    }
}

#[tokio::test]
async fn statements_without_measure_are_refused_at_once() {
    let api = Api::at(NOW).await;
    let nested = |count: usize, open: &str, close: &str| {
        format!("SELECT {}1{} AS value FROM events", open.repeat(count), close.repeat(count))
    };
    let select = |count: usize| {
        format!("SELECT n FROM {}events{}", "(SELECT n FROM ".repeat(count), ")".repeat(count))
    };
    let from =
        |count: usize| format!("SELECT COUNT(*) FROM {}events{}", "(".repeat(count), ")".repeat(count));
    let statements = [
        format!("SELECT COUNT(*) FROM events WHERE event_type = '{}'", "x".repeat(10_000)),
        nested(4_000, "(", ")"),
        nested(25, "(", ")") + &")".repeat(3_000),
        nested(2_400, "ABS(", ")"),
        nested(28, "CASE WHEN true THEN ", " END").repeat(8),
        nested(400, "CASE WHEN true THEN ", " END"),
        nested(3_000, "- ", ""),
        nested(2_400, "NOT ", ""),
        nested(4_900, "1+", ""),
        nested(900, "1+", ""),
        nested(1_600, "a AND ", ""),
        nested(1_000, "CAST(", " AS INT)"),
        nested(2_400, "", "::int"),
        nested(1_200, "", " IS NULL"),
        nested(4_000, "[", "]"),
        format!("SELECT a{} FROM events", ".b".repeat(4_900)),
        format!("SELECT {} FROM events", "a,".repeat(4_900)),
        format!("SELECT {}1 FROM events", "properties.a,".repeat(700)),
        select(28),
        select(29),
        select(600),
        from(28),
        from(4_000),
        format!("{}SELECT 1 FROM events", "WITH a AS (".repeat(900)),
        format!("SELECT COUNT(*) FROM events {}", "UNION SELECT 1 ".repeat(600)),
        format!("SELECT COUNT(*) FROM events {}", ", events".repeat(1_200)),
        format!("SELECT COUNT(*) FROM events GROUP BY {}1", "1,".repeat(4_900)),
        "(".repeat(9_000),
        "SELECT COUNT(".repeat(28),
        "/*".repeat(4_900),
        "'".repeat(9_999),
        "\u{0}".repeat(10),
        "\u{202e}SELECT".to_owned(),
        "SELECT\u{a0}COUNT(*)\u{a0}FROM\u{a0}еvents".to_owned(),
    ];
    for sql in statements {
        let began = Instant::now();
        let start: String = sql.chars().take(60).collect();
        let answer = api.post(CREATE, json!({ "name": "query", "sql": sql })).await;
        assert_eq!(answer.status, 400, "{start}: {}", answer.body);
        assert!(answer.body.to_string().len() < 1_000, "{start}: {}", answer.body);
        assert!(began.elapsed() < Duration::from_secs(2), "{start} took {:?}", began.elapsed());
    }
}

/// What is long but not hostile.
#[tokio::test]
async fn long_queries_are_taken() {
    let api = Api::at(NOW).await;
    let customer = acme(&api).await;
    let zones: Vec<String> = (0..1_000).map(|number| format!("'z{number}'")).collect();
    let listed =
        format!("SELECT COUNT(*) FROM events WHERE properties.zone IN ('fra', {})", zones.join(", "));
    assert_eq!(usage(&api, &customer, &metric(&api, &listed).await, None).await, "3");
    let ors: Vec<String> = (0..300).map(|number| format!("properties.zone = 'z{number}'")).collect();
    let either = format!("SELECT COUNT(*) FROM events WHERE properties.zone = 'fra' OR {}", ors.join(" OR "));
    assert_eq!(usage(&api, &customer, &metric(&api, &either).await, None).await, "3");
    let terms = format!("SELECT SUM(1{}) FROM events", " + properties.n".repeat(90));
    assert_eq!(usage(&api, &customer, &metric(&api, &terms).await, None).await, (6 + 34 * 90).to_string());
    let casts = format!("SELECT SUM(properties.n{}) FROM events", "::int::varchar".repeat(48));
    assert_eq!(usage(&api, &customer, &metric(&api, &casts).await, None).await, "34");
    let mixed =
        format!("SELECT SUM(properties.n{}{}) FROM events", "::int::varchar".repeat(20), " + 1".repeat(50));
    assert_eq!(usage(&api, &customer, &metric(&api, &mixed).await, None).await, "334");
    let nested = format!("SELECT SUM({}1{}) FROM events", "ABS(".repeat(25), ")".repeat(25));
    assert_eq!(usage(&api, &customer, &metric(&api, &nested).await, None).await, "8");
    let selects = format!(
        "SELECT n FROM {}(SELECT SUM(properties.n) AS n FROM events){}",
        "(SELECT n FROM ".repeat(15),
        ")".repeat(15)
    );
    assert_eq!(usage(&api, &customer, &metric(&api, &selects).await, None).await, "34");
}

#[tokio::test]
async fn a_query_is_shown_and_never_combined() {
    let api = Api::at(NOW).await;
    let sql = "SELECT SUM(properties.n) AS value, properties.zone FROM events GROUP BY zone";
    let id = metric(&api, sql).await;
    let shown = api.get(&format!("/v1/billable-metrics/{id}")).await.data();
    assert_eq!(shown, json!({ "id": id, "name": "query", "sql": sql, "custom_fields": {} }));
    assert_eq!(api.get("/v1/billable-metrics").await.data(), json!([shown]));
    let customer = api.customer("acme").await;
    let of_customer = api.get(&format!("/v1/customers/{customer}/billable-metrics")).await.data();
    assert_eq!(of_customer, json!([shown]));
    let renamed = json!({ "name": "zones" }).to_string();
    api.send(Method::PUT, &format!("/v1/billable-metrics/{id}"), Body::from(renamed)).await.id();
    api.post("/v1/billable-metrics/archive", json!({ "id": id })).await.id();
    let archived = api.get(&format!("/v1/billable-metrics/{id}")).await.data();
    assert_eq!((&archived["name"], &archived["sql"]), (&json!("zones"), &json!(sql)));
    assert!(archived["archived_at"].is_string());
    assert_eq!(api.get("/v1/billable-metrics").await.data(), json!([]));

    let only_sql = json!({ "name": "query", "sql": sql });
    let others = [
        ("aggregation_type", json!("COUNT")),
        ("aggregation_key", json!("n")),
        ("event_type_filter", json!({ "in_values": ["use"] })),
        ("property_filters", json!([{ "name": "n", "exists": true }])),
        ("group_keys", json!([["zone"]])),
    ];
    for (field, value) in others {
        let both = with(&only_sql, &format!("/{field}"), value);
        api.post(CREATE, both).await.refused(400, &["sql: cannot be combined with", field]);
    }
    api.post(CREATE, json!({ "name": "query" }))
        .await
        .refused(400, &["aggregation_type: is required unless sql"]);
    let empty = json!({ "name": "query", "sql": "" });
    api.post(CREATE, empty).await.refused(400, &["sql: must not be empty"]);
}

#[tokio::test]
async fn a_refusal_says_where() {
    let api = Api::at(NOW).await;
    let sql = "SELECT SUM(properties.n)\nFROM events\nWHERE pg_sleep(1) = 1";
    let answer = api.post(CREATE, json!({ "name": "query", "sql": sql })).await;
    answer.refused(400, &["sql: line 3, column 7: the function `pg_sleep` is not allowed"]);
    // Beside a number this text is none, and nothing is ever not in a list with a null.
    let sql = "SELECT COUNT(*) FROM events WHERE properties.status NOT IN (500, 'error')";
    let answer = api.post(CREATE, json!({ "name": "query", "sql": sql })).await;
    answer.refused(400, &["sql: ", "is a text among numbers; write all as texts"]);
    for condition in ["NOT IN ('500', 'error')", "NOT IN (500, ' 7 ')", "IN (500, 'error')"] {
        let sql = format!("SELECT COUNT(*) FROM events WHERE properties.status {condition}");
        api.post(CREATE, json!({ "name": "query", "sql": sql })).await.id();
    }
}

#[tokio::test]
async fn events_are_matched_by_the_filters_of_queries() {
    let api = Api::at(NOW).await;
    acme(&api).await;
    let calls =
        metric(&api, "SELECT COUNT(*) FROM events WHERE event_type = 'call' AND properties.n > 5").await;
    let nested = "WITH logins AS (SELECT properties.user AS who FROM events WHERE event_type = 'login')
                  SELECT COUNT(DISTINCT who) AS value FROM logins";
    let logins = metric(&api, nested).await;
    let all = metric(&api, "SELECT COUNT(*) FROM events").await;
    let body = json!({ "transactionIds": ["e0", "e1", "e3"] });
    let found = api.post("/v1/events/search", body).await.body;
    let matched = |place: usize| -> Vec<&str> {
        let metrics = found[place]["matched_billable_metrics"].as_array();
        let metrics = metrics.into_iter().flatten();
        metrics.map(|metric| metric["id"].as_str().expect("an id")).collect()
    };
    assert_eq!(found[0]["transaction_id"], "e0");
    let repeats = usize::from(found[1]["is_duplicate"] == json!(true));
    assert_eq!(matched(0), [&all], "4 is no more than 5");
    assert_eq!(matched(1 + repeats), [&all, &calls]);
    assert_eq!(matched(2 + repeats), [&all, &logins]);
    assert_eq!(found[0]["matched_billable_metrics"][0]["aggregation_type"], "custom_sql");
}

#[tokio::test]
async fn usage_of_queries_by_window_and_group() {
    let api = Api::at(NOW).await;
    let customer = acme(&api).await;
    let other = api.customer("other").await;
    let sql = "SELECT SUM(properties.n) AS value, properties.zone, properties.user FROM events
               WHERE event_type = 'call' GROUP BY zone, user";
    let id = metric(&api, sql).await;
    let dates = json!({ "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-06T00:00:00Z" });
    let with_dates = |mut body: Value| {
        for (name, value) in dates.as_object().expect("dates") {
            body[name] = value.clone();
        }
        body
    };
    // Nobody is named: only who has usage comes.
    let rows = api.post("/v1/usage", with_dates(json!({ "window_size": "DAY" }))).await.data();
    let values: Vec<String> =
        rows.as_array().expect("rows").iter().map(|row| row["value"].to_string()).collect();
    assert_eq!(values, ["13", "7", "null", "17", "-3"]);
    assert!(rows.as_array().expect("rows").iter().all(|row| row["customer_id"] == json!(customer)));
    let named = json!({ "window_size": "NONE", "customer_ids": [other], "billable_metrics": [{ "id": id }] });
    assert_eq!(api.post("/v1/usage", with_dates(named)).await.data()[0]["value"], Value::Null);
    let grouped = json!({
        "window_size": "DAY", "customer_ids": [customer],
        "billable_metrics": [{ "id": id, "group_by": { "key": "user" } }],
    });
    let rows = api.post("/v1/usage", with_dates(grouped)).await.data();
    assert_eq!(rows[0]["groups"], json!({ "A": 4, "B": 9, "C": null }));
    assert_eq!(rows[3]["groups"], json!({ "A": 11, "B": null, "C": 6 }));
    assert_eq!(
        (&rows[4]["groups"], &rows[4]["value"]),
        (&json!({ "A": null, "B": null, "C": null }), &json!(-3))
    );
    let unknown = json!({
        "window_size": "DAY", "billable_metrics": [{ "id": id, "group_by": { "key": "n" } }],
    });
    api.post("/v1/usage", with_dates(unknown)).await.refused(400, &["group_by.key", "`n`"]);

    let body = with_dates(json!({
        "customer_id": customer, "billable_metric_id": id, "window_size": "DAY", "group_key": ["user", "zone"],
    }));
    let whole = api.post("/v1/usage/groups", body.clone()).await.data();
    let shown: Vec<String> = whole
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| format!("{} {}", row["group"], row["value"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#"{"user":"A","zone":"fra"} 4"#,
            r#"{"user":"B","zone":"fra"} 9"#,
            r#"{"user":"A","zone":"nyc"} 7"#,
            r#"{"user":"A","zone":"fra"} 11"#,
            r#"{"user":"C","zone":"nyc"} 6"#,
            r#"{"zone":"nyc "} -3"#,
        ]
    );
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page = api.post(&format!("/v1/usage/groups?limit=2{cursor}"), body.clone()).await.body;
        paged.extend(page["data"].as_array().expect("rows").iter().cloned());
        let Some(next) = page["next_page"].as_str() else { break };
        cursor = format!("&next_page={next}");
    }
    assert_eq!(json!(paged), whole);
    let filtered = with(&body, "/group_filters", json!({ "user": ["A"] }));
    assert_eq!(api.post("/v1/usage/groups", filtered).await.data().as_array().expect("rows").len(), 3);
    let part = with(&body, "/group_key", json!(["n"]));
    api.post("/v1/usage/groups", part).await.refused(400, &["group_key", "`n`"]);
}

#[tokio::test]
async fn many_windows_are_counted_each_on_its_own() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    // Every hour of four days but each seventh, and in each the same number of events as the hour.
    let hours: Vec<usize> = (0..96).filter(|hour| hour % 7 != 0).collect();
    for hour in &hours {
        let event = |place: usize| {
            json!({
                "transaction_id": format!("{hour} {place}"), "customer_id": "acme", "event_type": "use",
                "timestamp": format!("2026-03-{:02}T{:02}:59:59.999Z", 1 + hour / 24, hour % 24),
                "properties": { "n": place, "parity": place % 2 },
            })
        };
        api.events((0..*hour).map(event).collect::<Vec<_>>().into()).await;
    }
    let sql = "SELECT COUNT(*) AS value, properties.parity FROM events GROUP BY parity";
    let id = metric(&api, sql).await;
    let body = json!({
        "customer_ids": [customer], "billable_metrics": [{ "id": id, "group_by": { "key": "parity" } }],
        "window_size": "HOUR", "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-05T00:00:00Z",
    });
    let rows = api.post("/v1/usage", body).await.data();
    for (hour, row) in rows.as_array().expect("rows").iter().enumerate() {
        let (even, odd) = (hour.div_ceil(2), hour / 2);
        let expected = if hour % 7 == 0 {
            (Value::Null, json!({ "0": null, "1": null }))
        } else {
            (json!(hour), json!({ "0": even, "1": if odd == 0 { Value::Null } else { json!(odd) } }))
        };
        assert_eq!((row["value"].clone(), row["groups"].clone()), expected, "hour {hour}");
    }
    let body = json!({
        "customer_id": customer, "billable_metric_id": id, "window_size": "HOUR", "group_key": ["parity"],
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-05T00:00:00Z",
    });
    let (mut sum, mut count, mut cursor) = (0, 0, String::new());
    loop {
        let page = api.post(&format!("/v1/usage/groups?limit=37{cursor}"), body.clone()).await.body;
        let rows = page["data"].as_array().expect("rows");
        count += rows.len();
        sum += rows.iter().map(|row| row["value"].as_u64().expect("a count")).sum::<u64>();
        let Some(next) = page["next_page"].as_str() else { break };
        cursor = format!("&next_page={next}");
    }
    let events: usize = hours.iter().sum();
    assert_eq!((sum, count), (events as u64, hours.len() * 2 - 1), "one hour has one event");
}

#[tokio::test]
async fn a_quantity_beyond_all_bounds_is_an_error_with_a_name() {
    let api = Api::at(NOW).await;
    let customer = acme(&api).await;
    let id = metric(&api, &beyond_all_bounds()).await;
    let body = json!({
        "customer_id": customer, "billable_metric_id": id, "window_size": "NONE",
        "starting_on": "2026-03-01T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z",
    });
    let began = Instant::now();
    api.post("/v1/usage/groups", body).await.refused(400, &[&id, "was stopped: it cannot be computed"]);
    assert!(began.elapsed() < TIME_LIMIT, "{:?}", began.elapsed());
}

/// Every row looks at thousands before it, again and again.
fn slow() -> String {
    let peak = |rows: i32| {
        format!("MAX(properties.n) OVER (ORDER BY timestamp ROWS BETWEEN {rows} PRECEDING AND CURRENT ROW)")
    };
    let peaks: Vec<String> = (7_000..7_040).map(peak).collect();
    format!("SELECT MAX(peak) FROM (SELECT {} AS peak FROM events)", peaks.join(" + "))
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_stopped() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    for batch in 0..150 {
        let event = |place: i64| {
            let n = batch * 100 + place;
            json!({
                "transaction_id": n.to_string(), "customer_id": "acme", "event_type": "use",
                "timestamp": "2026-03-09T00:00:00Z", "properties": { "n": n },
            })
        };
        api.events((0..100).map(event).collect::<Vec<_>>().into()).await;
    }
    let id = metric(&api, &slow()).await;
    let body = json!({
        "customer_id": customer, "billable_metric_id": id, "window_size": "NONE",
        "starting_on": "2026-03-09T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z",
    });
    let began = Instant::now();
    let answer = api.post("/v1/usage/groups", body).await;
    answer.refused(400, &[&id, "ran longer than 10 seconds"]);
    assert!(began.elapsed() < TIME_LIMIT * 2, "{:?}", began.elapsed());
    let count = metric(&api, "SELECT COUNT(*) FROM events").await;
    let body = json!({
        "customer_id": customer, "billable_metric_id": count, "window_size": "NONE",
        "starting_on": "2026-03-09T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z",
    });
    assert_eq!(api.post("/v1/usage/groups", body).await.data()[0]["value"], 15_000);
}

#[tokio::test]
async fn a_product_on_a_query_always_says_how_it_is_broken_down() {
    let api = Api::at(NOW).await;
    let query = metric(&api, "SELECT COUNT(*) AS value, properties.zone FROM events GROUP BY zone").await;
    let streaming = api.metric(Metric { aggregation: "COUNT", key: None, groups: &[] }).await;
    let create = "/v1/contract-pricing/products/create";
    let product = async |metric: &str, more: Value| {
        let mut body = json!({ "name": "a", "type": "USAGE", "billable_metric_id": metric });
        for (name, value) in more.as_object().expect("fields") {
            body[name] = value.clone();
        }
        api.post(create, body).await.id()
    };
    let current = async |id: &str| {
        api.post("/v1/contract-pricing/products/get", json!({ "id": id })).await.data()["current"].clone()
    };
    let omitted = product(&query, json!({})).await;
    assert_eq!(current(&omitted).await["sql_breakdown_granularity"], "SERVICE_PERIOD");
    let by_hour =
        product(&query, json!({ "sql_breakdown_granularity": "hour", "pricing_group_key": ["zone"] })).await;
    assert_eq!(current(&by_hour).await["sql_breakdown_granularity"], "HOUR");
    let without = product(&streaming, json!({})).await;
    assert_eq!(current(&without).await.get("sql_breakdown_granularity"), None);
    let update =
        json!({ "product_id": without, "starting_at": "2026-03-01T00:00:00Z", "billable_metric_id": query });
    api.post("/v1/contract-pricing/products/update", update).await.id();
    assert_eq!(current(&without).await["sql_breakdown_granularity"], "SERVICE_PERIOD");
    let unknown = json!({
        "name": "a", "type": "USAGE", "billable_metric_id": query, "pricing_group_key": ["user"],
    });
    api.post(create, unknown).await.refused(400, &["pricing_group_key", "`user`"]);
    let fixed = json!({ "name": "a", "type": "FIXED", "sql_breakdown_granularity": "HOUR" });
    api.post(create, fixed).await.refused(400, &["sql_breakdown_granularity: is not for a FIXED product"]);
    let wrong = json!({ "name": "a", "type": "USAGE", "billable_metric_id": query, "sql_breakdown_granularity": "DAY" });
    api.post(create, wrong).await.refused(400, &["sql_breakdown_granularity"]);
}

/// Events of `acme`, each with these properties, in requests of a hundred.
async fn many(api: &Api, received: &str, count: usize, properties: impl Fn(usize) -> Value) {
    for batch in 0..count.div_ceil(100) {
        let event = |place: usize| {
            json!({
                "transaction_id": format!("{received} {place}"), "customer_id": received, "event_type": "use",
                "timestamp": "2026-03-09T00:00:00Z", "properties": properties(place),
            })
        };
        api.events((batch * 100..count.min(batch * 100 + 100)).map(event).collect()).await;
    }
}

/// The usage of one day by one column, however it ends.
async fn day(api: &Api, customer: &str, metric: &str, column: Option<&str>) -> crate::support::Answer {
    let mut body = json!({
        "customer_id": customer, "billable_metric_id": metric, "window_size": "NONE",
        "starting_on": "2026-03-09T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z",
    });
    if let Some(column) = column {
        body["group_key"] = json!([column]);
    }
    api.post("/v1/usage/groups", body).await
}

#[tokio::test]
async fn only_the_events_and_the_properties_that_a_query_needs_take_room() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    // 68 MB of notes.
    let note = "x".repeat(80_000);
    many(&api, "acme", 850, |place| json!({ "n": place, "note": note })).await;
    let sum = metric(&api, "SELECT SUM(properties.n) FROM events").await;
    assert_eq!(day(&api, &customer, &sum, None).await.data()[0]["value"], 360_825);
    let some = "SELECT COUNT(DISTINCT properties.note) FROM events WHERE properties.n < 100";
    let some = metric(&api, some).await;
    assert_eq!(day(&api, &customer, &some, None).await.data()[0]["value"], 1);
    let all = metric(&api, "SELECT COUNT(DISTINCT properties.note) FROM events").await;
    let refused = day(&api, &customer, &all, None).await;
    refused.refused(400, &[&all, "the events that it counts take more than 64 MiB"]);
}

#[tokio::test]
async fn answers_and_what_they_are_made_from_are_bounded() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    let long = "y".repeat(50_000);
    many(&api, "acme", 3_000, |place| match place {
        0 => json!({ "n": place, "note": long }),
        _ => json!({ "n": place }),
    })
    .await;
    let repeated = |value: &str, more: &str| {
        format!(
            "SELECT {value} FROM (SELECT FIRST_VALUE(properties.note) OVER (ORDER BY timestamp) AS note,
                                         properties.n AS n, timestamp FROM events) {more}"
        )
    };
    // Every row of the answer has the long text: 150 MB.
    let rows = metric(&api, &repeated("1 AS value, note, n", "")).await;
    day(&api, &customer, &rows, Some("n")).await.refused(400, &[&rows, "its answer takes more than 32 MiB"]);
    // Rows of equal groups are one.
    let one = metric(&api, &repeated("1 AS value, note", "")).await;
    let answer = day(&api, &customer, &one, Some("note")).await.data();
    assert_eq!((answer.as_array().map(Vec::len), &answer[0]["value"]), (Some(1), &json!(3_000)));
    // Sorted, and counted once each, on the disk if need be.
    let latest = "CASE WHEN LATEST(note) = EARLIEST(note) THEN COUNT(DISTINCT note) END AS value";
    let latest = metric(&api, &repeated(latest, "")).await;
    assert_eq!(day(&api, &customer, &latest, None).await.data()[0]["value"], 1);
    let median = "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY n) + PERCENTILE_DISC(0.25) WITHIN GROUP (ORDER BY n DESC)";
    let median = metric(&api, &repeated(&format!("{median} AS value"), "")).await;
    assert_eq!(day(&api, &customer, &median, None).await.data()[0]["value"].to_string(), "3749.5");
}

#[tokio::test]
async fn numbers_that_a_query_makes_long_are_stopped() {
    let api = Api::at(NOW).await;
    let customer = api.customer("acme").await;
    many(&api, "acme", 3_000, |place| json!({ "n": place + 1 })).await;
    // Numbers of 60,000 digits, of which every row gets one, sorted: on the disk at most.
    let square = |step: i32| format!(", q{step} AS (SELECT n * n AS n FROM q{})", step - 1);
    let squares: String = (1..11).map(square).collect();
    let sql = format!(
        "WITH q0 AS (SELECT properties.n * 1e55 AS n FROM events WHERE properties.n > 2998){squares},
              big AS (SELECT MAX(n) OVER () AS m, n FROM q10)
         SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY m) / 1e59999 AS value FROM big"
    );
    let refused = api.post(CREATE, json!({ "name": "query", "sql": sql })).await;
    refused.refused(400, &["60 digits"]);
    let sql = sql.replace(" / 1e59999", " * 0");
    let id = metric(&api, &sql).await;
    let began = Instant::now();
    let answer = day(&api, &customer, &id, None).await;
    assert_eq!(answer.data()[0]["value"], 0);
    assert!(began.elapsed() < TIME_LIMIT, "{:?}", began.elapsed());
    let huge = metric(&api, &sql.replace(" * 0", "")).await;
    day(&api, &customer, &huge, None).await.refused(400, &[&huge, "its quantity has more than 4000 digits"]);
}

#[tokio::test]
async fn a_page_of_usage_looks_through_so_many_events_and_goes_on() {
    let api = Api::at(NOW).await;
    let mut customers = Vec::new();
    for number in 0..6 {
        let received = format!("c{number}");
        customers.push(api.customer(&received).await);
        many(&api, &received, 40, |place| json!({ "n": place })).await;
    }
    // Among them are some whose events the query does not take.
    for number in 0..6 {
        let received = format!("other {number}");
        api.customer(&received).await;
        let properties = json!({ "n": 1 });
        for place in 0..3 {
            let event = json!({
                "transaction_id": format!("{received} {place}"), "customer_id": received, "event_type": "other",
                "timestamp": "2026-03-09T12:00:00Z", "properties": properties,
            });
            api.events(json!([event])).await;
        }
    }
    customers.sort();
    let upkeep_of = async || {
        let mut db = api.app.db.acquire().await.expect("a connection");
        let sandbox = find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
        drop(db);
        upkeep(&api.app, &sandbox).await.expect("in order");
    };
    upkeep_of().await;
    let id = metric(&api, "SELECT SUM(properties.n) FROM events WHERE event_type = 'use'").await;
    let body = json!({
        "window_size": "NONE", "starting_on": "2026-03-09T00:00:00Z", "ending_before": "2026-03-10T00:00:00Z",
    });
    for budget in [1, 39, 40, 41, 95, 1_000] {
        let small = api.replica_with(Settings { sql_events_a_page: budget, ..Settings::default() });
        let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let page = small.post(&format!("/v1/usage{cursor}"), body.clone()).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let rows = page.body["data"].as_array().expect("rows").clone();
            assert!(!rows.is_empty() || page.body["next_page"].is_null(), "an empty page ends the list");
            seen.extend(rows.iter().map(|row| {
                assert_eq!((&row["value"], &row["billable_metric_id"]), (&json!(780), &json!(id)));
                row["customer_id"].as_str().expect("an id").to_owned()
            }));
            pages += 1;
            let Some(next) = page.body["next_page"].as_str() else { break };
            cursor = format!("?next_page={next}");
        }
        assert_eq!(seen, customers, "with {budget}");
        assert!(if budget == 1_000 { pages == 1 } else { pages >= 3 }, "{pages} pages with {budget}");
    }
    let none = api.replica_with(Settings { sql_events_a_page: 1, ..Settings::default() });
    let named =
        with(&with(&body, "/customer_ids", json!(customers)), "/billable_metrics", json!([{ "id": id }]));
    let page = none.post("/v1/usage", named).await;
    assert_eq!(page.body["data"].as_array().map(Vec::len), Some(1), "the first is always read");
    assert!(page.body["next_page"].is_string());
}
