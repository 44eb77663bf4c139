//! Commits and credits at the desk: as requests have them, and their ledgers and the invoices they pay for as text.

use serde_json::{Value, json};

use crate::desk::{Desk, number, t};
use crate::support::{Metric, lines};

/// The id of cents.
pub const USD: &str = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";

/// What a balance gives from one date until before another.
pub type Grant<'a> = (i64, &'a str, &'a str);

/// Adds fields to an object, or replaces them.
pub fn with(mut body: Value, more: Value) -> Value {
    let fields = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    body
}

/// An access schedule.
pub fn access(grants: &[Grant<'_>]) -> Value {
    let item = |(amount, from, until): &Grant<'_>| json!({ "amount": amount, "starting_at": t(from), "ending_before": t(until) });
    json!({ "schedule_items": grants.iter().map(item).collect::<Vec<_>>() })
}

/// An invoice schedule.
pub fn paid(items: &[(i64, &str)]) -> Value {
    let item = |(amount, at): &(i64, &str)| json!({ "amount": amount, "timestamp": t(at) });
    json!({ "schedule_items": items.iter().map(item).collect::<Vec<_>>() })
}

/// A prepaid commit that is given away, unless `more` says what is paid for it.
pub fn prepaid(product: &str, name: &str, grants: &[Grant<'_>], more: Value) -> Value {
    let body = json!({
        "type": "PREPAID", "product_id": product, "name": name, "access_schedule": access(grants),
    });
    with(body, more)
}

/// A promise to spend, with the date of its true-up.
pub fn postpaid(product: &str, name: &str, grant: Grant<'_>, due: &str, more: Value) -> Value {
    let body = json!({
        "type": "POSTPAID", "product_id": product, "name": name, "access_schedule": access(&[grant]),
        "invoice_schedule": paid(&[(grant.0, due)]),
    });
    with(body, more)
}

pub fn credit(product: &str, name: &str, grants: &[Grant<'_>], more: Value) -> Value {
    with(json!({ "product_id": product, "name": name, "access_schedule": access(grants) }), more)
}

/// A recurring credit of one period each; a recurring commit with `more` that has an `invoice_amount`.
pub fn recurring_grant(product: &str, name: &str, amount: i64, from: &str, more: Value) -> Value {
    let body = json!({
        "product_id": product, "name": name, "priority": 100, "starting_at": t(from),
        "access_amount": amount_of(amount), "commit_duration": { "value": 1, "unit": "PERIODS" },
    });
    with(body, more)
}

/// An amount of a recurring grant.
pub fn amount_of(amount: i64) -> Value {
    json!({ "unit_price": amount, "quantity": 1, "credit_type_id": USD })
}

/// An instant without midnight and without a whole hour's minutes.
fn moment(value: &Value) -> String {
    let text = value.as_str().expect("an instant");
    let text = text.strip_suffix("+00:00").or(text.strip_suffix('Z')).expect("UTC");
    text.strip_suffix("T00:00:00").or(text.strip_suffix(":00:00")).unwrap_or(text).to_owned()
}

/// A number; what goes on beyond ten decimals is cut off after two.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.len() > 10 => format!("{whole}.{}…", &decimals[..2]),
        _ => text,
    }
}

/// The lines of an invoice and its total, as `text` has them; what a balance pays for and what applies it say which kind of
/// balance it is.
pub fn bill(invoice: &Value) -> Vec<String> {
    let items = invoice["line_items"].as_array().expect("lines");
    let one = |(text, line): (String, &Value)| {
        let numbers = format!(" {} × {} = {}", line["quantity"], line["unit_price"], line["total"]);
        let start = text.strip_suffix(&numbers).expect("the line ends in its numbers");
        let kind = match line["applied_commit_or_credit"]["type"].as_str() {
            Some(kind) => format!(" ({kind})"),
            None => String::new(),
        };
        if line.get("quantity").is_none() {
            return format!("{start} = {}{kind}", short(&line["total"]));
        }
        let [quantity, price, total] = ["quantity", "unit_price", "total"].map(|field| short(&line[field]));
        format!("{start} {quantity} × {price} = {total}{kind}")
    };
    let mut all: Vec<String> = lines(invoice).into_iter().zip(items).map(one).collect();
    all.push(format!("total {}", short(&invoice["total"])));
    all
}

/// Invoices as `SCHEDULED FINALIZED 2026-04-01 330000`.
pub fn overview(invoices: &[Value]) -> Vec<String> {
    let one = |invoice: &Value| {
        let text = |field: &str| invoice[field].as_str().expect("text").to_owned();
        let (kind, status) = (text("type"), text("status"));
        format!("{kind} {status} {} {}", moment(&invoice["end_timestamp"]), short(&invoice["total"]))
    };
    invoices.iter().map(one).collect()
}

/// The fields that an entry of a type has beside its type, its timestamp and its amount.
fn fields_of(entry_type: &str) -> &'static [&'static str] {
    let kinds: [(&str, &[&str]); 9] = [
        ("SEGMENT_START", &["segment_id"]),
        ("INITIAL_BALANCE", &[]),
        ("AUTOMATED_INVOICE_DEDUCTION", &["segment_id", "invoice_id"]),
        ("MANUAL", &["reason"]),
        ("ROLLOVER", &["segment_id", "new_contract_id"]),
        ("CANCELED", &["segment_id", "invoice_id"]),
        ("TRUEUP", &["invoice_id"]),
        ("POSTPAID_COMMIT_EXPIRATION", &[]),
        ("EXPIRATION", &["segment_id"]),
    ];
    let of_type = kinds.into_iter().find(|(suffix, _)| entry_type.ends_with(suffix));
    of_type.unwrap_or_else(|| panic!("an unknown type of entry: {entry_type}")).1
}

/// The entries of a ledger as `2026-03-01 CREDIT_SEGMENT_START 25000`, each checked to have what its type has.
pub fn entries(balance: &Value) -> Vec<String> {
    let entries = balance["ledger"].as_array().unwrap_or_else(|| panic!("no ledger in {balance}"));
    let one = |entry: &Value| {
        let entry_type = entry["type"].as_str().expect("a type");
        for field in fields_of(entry_type) {
            assert!(entry[field].is_string(), "{field} of {entry}");
        }
        format!("{} {entry_type} {}", moment(&entry["timestamp"]), short(&entry["amount"]))
    };
    entries.iter().map(one).collect()
}

/// The segments of a balance as `2026-03-01..2026-04-01 25000`.
pub fn segments(balance: &Value) -> Vec<String> {
    let items = balance["access_schedule"]["schedule_items"].as_array().expect("segments");
    let one = |item: &Value| {
        let (from, until) = (moment(&item["starting_at"]), moment(&item["ending_before"]));
        format!("{from}..{until} {}", short(&item["amount"]))
    };
    items.iter().map(one).collect()
}

impl Desk {
    /// A desk with a product at one cent a unit, so that usage is its own price.
    pub async fn of_cents(now: &str, from: &str) -> Self {
        let desk = Self::at(now).await;
        let product = desk.product("Units", "SUM", json!({})).await;
        desk.flat(&product, from, "1").await;
        desk
    }

    /// A product that sums the property `key`, at a price from a date on.
    pub async fn summed(&self, name: &str, key: &str, from: &str, price: &str, more: Value) -> String {
        let product = self.summing(name, key, more).await;
        self.flat(&product, from, price).await;
        product
    }

    /// A product that sums the property `key`, without a rate.
    pub async fn summing(&self, name: &str, key: &str, more: Value) -> String {
        let groups = more["pricing_group_key"].as_array().into_iter().flatten();
        let groups = groups.chain(more["presentation_group_key"].as_array().into_iter().flatten());
        let groups: Vec<&str> = groups.map(|group| group.as_str().expect("a property")).collect();
        let metric = self.api.metric(Metric { aggregation: "SUM", key: Some(key), groups: &groups }).await;
        self.product_on(name, &metric, more).await
    }

    /// Moves the clock to the 20th of a month and has that much used on its 10th.
    pub async fn uses(&self, month: &str, n: impl Into<Value>) {
        self.clock(&format!("{month}-20")).await;
        self.n(&format!("{month}-10"), n).await;
    }

    /// A commit of the customer; its priority is 100 unless it says another.
    pub async fn commit(&self, terms: Value) -> String {
        self.own("/v1/contracts/customerCommits/create", terms).await
    }

    /// A credit of the customer; its priority is 100 unless it says another.
    pub async fn credit(&self, terms: Value) -> String {
        self.own("/v1/contracts/customerCredits/create", terms).await
    }

    async fn own(&self, path: &str, terms: Value) -> String {
        let body = with(json!({ "customer_id": self.customer, "priority": 100 }), terms);
        self.api.post(path, body).await.id()
    }

    /// All balances of the customer and its contracts with ledgers, those that are over and archived ones too.
    pub async fn balances(&self) -> Vec<Value> {
        self.balances_where(json!({})).await
    }

    async fn balances_where(&self, more: Value) -> Vec<Value> {
        let body = json!({
            "customer_id": self.customer, "include_contract_balances": true, "include_archived": true,
            "include_ledgers": true, "include_balance": true,
        });
        let mut body = with(body, more);
        let mut all = Vec::new();
        loop {
            let answer = self.api.post("/v1/contracts/customerBalances/list", body.clone()).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
            all.extend(answer.body["data"].as_array().expect("a list").clone());
            if answer.body["next_page"].is_null() {
                return all;
            }
            body["next_page"] = answer.body["next_page"].clone();
        }
    }

    /// The balances of a name in the order of their starts.
    pub async fn named(&self, name: &str) -> Vec<Value> {
        let mut found = self.balances().await;
        found.retain(|balance| balance["name"] == name);
        found.sort_by_key(|balance| {
            balance["access_schedule"]["schedule_items"][0]["starting_at"].to_string()
        });
        found
    }

    /// The one balance of a name.
    pub async fn one(&self, name: &str) -> Value {
        let found = self.named(name).await;
        assert_eq!(found.len(), 1, "balances called {name}: {found:?}");
        found[0].clone()
    }

    /// The id of the one balance of a name.
    pub async fn id_of(&self, name: &str) -> String {
        self.one(name).await["id"].as_str().expect("an id").to_owned()
    }

    /// The ledger of the one balance of a name.
    pub async fn ledger(&self, name: &str) -> Vec<String> {
        entries(&self.one(name).await)
    }

    /// What is left of the one balance of a name.
    pub async fn left(&self, name: &str) -> String {
        short(&self.one(name).await["balance"])
    }

    /// The customer's net balance.
    pub async fn net(&self, more: Value) -> String {
        let body = with(json!({ "customer_id": self.customer }), more);
        let net = self.api.post("/v1/contracts/customerBalances/getNetBalance", body).await.data();
        short(&net["balance"])
    }

    /// Writes an entry into the ledger of the one balance of a name, into its segment of that number.
    pub async fn write(&self, name: &str, segment: usize, amount: &str, more: Value) {
        let balance = self.one(name).await;
        let body = json!({
            "customer_id": self.customer, "id": balance["id"], "amount": number(amount), "reason": "goodwill",
            "segment_id": balance["access_schedule"]["schedule_items"][segment]["id"],
        });
        let mut body = with(body, more);
        if let Some(contract) = balance["contract"]["id"].as_str() {
            body["contract_id"] = json!(contract);
        }
        let answer = self.api.post("/v1/contracts/addManualBalanceLedgerEntry", body).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    }

    /// The invoices that the query asks for, by issue date.
    pub async fn listed(&self, query: &str) -> Vec<Value> {
        let path = format!("/v1/customers/{}/invoices?limit=100&{query}", self.customer);
        self.api.get(&path).await.data().as_array().expect("a list").clone()
    }

    /// Invoices without a period, in short.
    pub async fn scheduled(&self) -> Vec<String> {
        overview(&self.listed("type=SCHEDULED").await)
    }

    /// The usage invoice whose period starts on a date, as `bill` has it.
    pub async fn bill(&self, start: &str) -> Vec<String> {
        bill(&self.invoice(start).await)
    }

    /// Voids an invoice.
    pub async fn void(&self, invoice: &Value) {
        let answer = self.api.post("/v1/invoices/void", json!({ "id": invoice["id"] })).await;
        assert_eq!(answer.data()["id"], invoice["id"]);
    }

    /// Regenerates a void invoice and answers the new one.
    pub async fn regenerate(&self, invoice: &Value) -> Value {
        let id = self.api.post("/v1/invoices/regenerate", json!({ "id": invoice["id"] })).await.id();
        self.api.get(&format!("/v1/customers/{}/invoices/{id}", self.customer)).await.data()
    }
}
