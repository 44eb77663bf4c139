//! What is remembered of days is never other than what their hours add up to.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use upbeat::access::{EnvironmentKind, find_environment};
use upbeat::id::EnvironmentId;
use upbeat::usage::{begin_usage_snapshot, verify_rollups};

use crate::support::{Api, Metric, lines};

const NOW: &str = "2026-03-10T12:00:00Z";

/// Hours of the range that is asked for, from the first of March on.
const RANGE: std::ops::Range<i64> = 24..216;

/// An event: the hour of March, the zone, how much.
type Event = (i64, usize, i64);

fn at(hour: i64) -> String {
    format!("2026-03-{:02}T{:02}:00:00Z", hour / 24 + 1, hour % 24)
}

/// Everything that is pending gets into the rollups of the sandbox, which is answered.
async fn settle(api: &Api) -> EnvironmentId {
    let mut db = api.app.db.acquire().await.expect("a connection");
    let sandbox = find_environment(&mut db, EnvironmentKind::Sandbox).await.expect("the sandbox");
    drop(db);
    begin_usage_snapshot(&api.app.db, sandbox.id).await.expect("a snapshot");
    sandbox.id
}

struct Meter {
    api: Api,
    customer: String,
    /// SUM, COUNT and MAX, each with the zone as its group.
    metrics: Vec<String>,
    sent: Vec<Event>,
}

impl Meter {
    async fn start() -> Self {
        let api = Api::at(NOW).await;
        let mut metrics = Vec::new();
        for aggregation in ["SUM", "COUNT", "MAX"] {
            let key = (aggregation != "COUNT").then_some("n");
            metrics.push(api.metric(Metric { aggregation, key, groups: &["zone"] }).await);
        }
        let customer = json!({ "name": "acme", "ingest_aliases": ["acme", "acme-eu"] });
        let customer = api.post("/v1/customers", customer).await.id();
        Self { api, customer, metrics, sent: Vec::new() }
    }

    async fn send(&mut self, events: &[Event]) {
        for (hour, zone, n) in events {
            let subject = if (hour + n) % 2 == 0 { "acme" } else { "acme-eu" };
            self.api.event(subject, &at(*hour), json!({ "zone": format!("z{zone}"), "n": n })).await;
        }
        self.sent.extend(events);
    }

    async fn settle(&self) {
        let sandbox = settle(&self.api).await;
        let differences = verify_rollups(&self.api.app.db, sandbox).await;
        assert!(differences.as_ref().is_ok_and(Vec::is_empty), "{differences:?}");
    }

    /// The three aggregates of what was sent in the range, by what `key` makes of an event.
    fn expected<K: Ord>(&self, key: impl Fn(&Event) -> K) -> BTreeMap<K, [i64; 3]> {
        let mut expected: BTreeMap<K, [i64; 3]> = BTreeMap::new();
        for event in self.sent.iter().filter(|(hour, _, _)| RANGE.contains(hour)) {
            let [sum, count, greatest] = expected.entry(key(event)).or_insert([0, 0, i64::MIN]);
            *sum += event.2;
            *count += 1;
            *greatest = event.2.max(*greatest);
        }
        expected
    }

    fn question(&self, metric: usize, window_size: &str) -> Value {
        json!({
            "starting_on": at(RANGE.start), "ending_before": at(RANGE.end), "window_size": window_size,
            "billable_metrics": [{ "id": self.metrics[metric] }], "customer_ids": [self.customer],
        })
    }

    /// Holds every kind of answer against what was sent.
    async fn check(&self) {
        let number = |value: &Value| value.as_str().map_or(value.as_i64(), |text| text.parse().ok());
        for metric in 0..self.metrics.len() {
            let one = |values: &[i64; 3]| values[metric];
            let whole = self.api.post("/v1/usage", self.question(metric, "NONE")).await.data();
            assert_eq!(number(&whole[0]["value"]), self.expected(|_| ()).get(&()).map(one), "{whole}");

            let days = self.api.post("/v1/usage", self.question(metric, "DAY")).await.data();
            let of_day = |row: &Value| {
                Some((row["start_timestamp"].as_str()?[8..10].parse().ok()?, number(&row["value"])?))
            };
            let found: BTreeMap<i64, i64> =
                days.as_array().expect("rows").iter().filter_map(of_day).collect();
            let by_day = self.expected(|(hour, _, _)| hour / 24 + 1);
            assert_eq!(found, by_day.iter().map(|(day, values)| (*day, one(values))).collect());

            for window in ["NONE", "DAY"] {
                let mut question = self.question(metric, window);
                question["billable_metric_id"] = question["billable_metrics"][0]["id"].take();
                question["customer_id"] = question["customer_ids"][0].take();
                for extra in ["billable_metrics", "customer_ids"] {
                    question.as_object_mut().expect("a body").remove(extra);
                }
                question["group_by"] = json!({ "key": "zone" });
                let rows = self.api.post("/v1/usage/groups?limit=100", question).await.data();
                let place = |hour: i64| if window == "DAY" { hour / 24 } else { 0 };
                let by_zone = self.expected(|(hour, zone, _)| (place(*hour), *zone));
                let rows = rows.as_array().expect("rows").iter().filter(|row| !row["value"].is_null());
                let mut found: Vec<i64> = rows.filter_map(|row| number(&row["value"])).collect();
                found.sort_unstable();
                let mut expected: Vec<i64> = by_zone.values().map(one).collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "{window}");
            }
        }
    }
}

/// Events in no order: late ones, and several in one hour.
fn events(seed: u64, count: u64) -> Vec<Event> {
    let event = |number: u64| {
        let mixed = (seed * 1000 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        let hour = i64::try_from(mixed % 228).expect("small");
        (
            hour,
            usize::try_from(mixed / 228 % 3).expect("small"),
            i64::try_from(mixed / 700 % 50).expect("small"),
        )
    };
    (0..count).map(event).collect()
}

#[tokio::test]
async fn whatever_comes_and_whenever_it_is_counted_days_are_the_sums_of_their_events() {
    let mut meter = Meter::start().await;
    for round in 1..=8 {
        meter.send(&events(round, 9)).await;
        // Sometimes it is in no rollup yet, sometimes it is, and all is read twice.
        if round % 3 != 0 {
            meter.settle().await;
        }
        meter.check().await;
        meter.check().await;
    }
}

#[tokio::test]
async fn a_draft_takes_in_what_comes_late_on_a_day_that_it_was_read_with() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let product = api.product("Units", &metric, json!({})).await;
    let rates = api.rate_card().await;
    api.flat(&rates, &product, "2026-03-01T00:00:00Z", "2", json!({})).await;
    // A day that is cut: each part has its price.
    api.flat(&rates, &product, "2026-03-04T09:00:00Z", "3", json!({})).await;
    let customer = api.customer("acme").await;
    api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
    let mut expected = (0, 0);
    for (round, hour) in [30, 78, 85, 31, 79, 200, 86, 30].into_iter().enumerate() {
        let n = 1 << round;
        api.event("acme", &at(hour), json!({ "n": n })).await;
        if hour < 81 {
            expected.0 += n;
        } else {
            expected.1 += n;
        }
        if round % 2 == 0 {
            settle(&api).await;
        }
        let invoice = api.invoice(&customer, "2026-03-01").await;
        let (before, after) = expected;
        let lines_expected = [
            format!("Units 03-01..03-04 {before} × 2 = {}", 2 * before),
            format!("Units 03-04..04-01 {after} × 3 = {}", 3 * after),
        ];
        assert_eq!(lines(&invoice), lines_expected);
    }
}

/// A customer with a credit, who uses units of 2 cents.
struct Holder {
    api: Api,
    customer: String,
    left: i64,
}

impl Holder {
    async fn of(api: Api, metric: &str) -> Self {
        let product = api.product("Units", metric, json!({})).await;
        let fee = api.fixed_product("Fee").await;
        let rates = api.rate_card().await;
        api.flat(&rates, &product, "2026-03-01T00:00:00Z", "2", json!({})).await;
        let customer = api.customer("acme").await;
        api.contract(&customer, &rates, "2026-03-01T00:00:00Z", json!({})).await;
        let left = 100_000;
        let credit = json!({
            "customer_id": customer, "product_id": fee, "priority": 1, "access_schedule": { "schedule_items": [{
                "amount": left, "starting_at": "2026-03-01T00:00:00Z", "ending_before": "2026-06-01T00:00:00Z",
            }] },
        });
        api.post("/v1/contracts/customerCredits/create", credit).await.id();
        Self { api, customer, left }
    }

    async fn uses(&mut self, at: &str, n: i64) {
        self.api.event("acme", at, json!({ "n": n })).await;
        self.left -= 2 * n;
    }

    /// What is read twice is what is left, each time.
    async fn check(&self) {
        for _ in 0..2 {
            let path = "/v1/contracts/customerBalances/getNetBalance";
            let net = self.api.post(path, json!({ "customer_id": self.customer })).await.data();
            assert_eq!(net["balance"], json!(self.left));
            let listed =
                json!({ "customer_id": self.customer, "include_balance": true, "include_ledgers": true });
            let balances = self.api.post("/v1/contracts/customerBalances/list", listed).await.data();
            assert_eq!(balances[0]["balance"], json!(self.left));
        }
    }
}

#[tokio::test]
async fn what_is_left_follows_what_comes_late_whether_it_is_counted_or_not() {
    let api = Api::at(NOW).await;
    let metric = api.metric(Metric { aggregation: "SUM", key: Some("n"), groups: &[] }).await;
    let mut holder = Holder::of(api, &metric).await;
    holder.check().await;
    // The last ones are of April, whose statement opens while that of March is a draft still.
    for (round, hour) in [30, 78, 85, 31, 79, 200, 86, 30, 743, 745, 750, 20].into_iter().enumerate() {
        if hour == 743 {
            holder.api.move_clock("2026-04-01T07:00:00Z").await;
            holder.check().await;
        }
        let at = if hour < 744 { at(hour) } else { format!("2026-04-01T{:02}:00:00Z", hour - 744) };
        holder.uses(&at, 1 << round).await;
        // Seen before it is counted, and after.
        holder.check().await;
        if round % 3 != 1 {
            settle(&holder.api).await;
            holder.check().await;
        }
    }
}

#[tokio::test]
async fn what_a_query_counts_of_late_events_is_seen_in_what_is_left() {
    let api = Api::at(NOW).await;
    let query = json!({ "name": "query", "sql": "SELECT SUM(properties.n) AS value FROM events" });
    let metric = api.post("/v1/billable-metrics/create", query).await.id();
    let mut holder = Holder::of(api, &metric).await;
    holder.check().await;
    for hour in [30, 78, 31] {
        holder.uses(&at(hour), hour).await;
        holder.check().await;
        settle(&holder.api).await;
        holder.check().await;
    }
}

#[tokio::test]
async fn a_metric_of_very_many_groups_is_added_up_all_the_same() {
    let mut meter = Meter::start().await;
    meter.send(&[(30, 0, 1), (54, 1, 1)]).await;
    meter.settle().await;
    let count = &meter.metrics[1];
    meter
        .api
        .sql(&format!(
            "WITH many AS (
                 INSERT INTO usage_group (environment_id, billable_metric_id, id, group_values)
                 SELECT environment_id, id, gen_random_uuid(), ARRAY['many']
                 FROM billable_metric, generate_series(1, 60000) WHERE id = '{count}'
                 RETURNING environment_id, billable_metric_id, id
             )
             INSERT INTO usage_rollup (environment_id, subject_id, billable_metric_id, hour, group_id, event_count)
             SELECT environment_id, (SELECT min(subject_id::text)::uuid FROM usage_day), billable_metric_id,
                    '2026-03-05T00:00:00Z', id, 1
             FROM many;
             INSERT INTO usage_day (environment_id, subject_id, day, version)
             SELECT environment_id, min(subject_id::text)::uuid, '2026-03-05', gen_random_uuid()
             FROM usage_day GROUP BY environment_id"
        ))
        .await;
    for _ in 0..2 {
        let whole = meter.api.post("/v1/usage", meter.question(1, "NONE")).await.data();
        assert_eq!(whole[0]["value"].as_f64(), Some(60002.0), "{whole}");
    }
}
