//! A billing desk: one customer, one rate card, a clock; and invoices as text.

use serde_json::{Value, json};

use crate::support::{Api, Metric, Rates, lines, product_update};

/// The customer `acme` and a rate card in USD.
pub struct Desk {
    pub api: Api,
    pub rates: Rates,
    pub customer: String,
}

/// `2026-03-01` or `2026-03-01 05:30` or `2026-03-01 05:30:59.5` as RFC 3339.
pub fn t(text: &str) -> String {
    match text.split_once(' ') {
        None => format!("{text}T00:00:00Z"),
        Some((date, time)) if time.len() == 5 => format!("{date}T{time}:00Z"),
        Some((date, time)) => format!("{date}T{time}Z"),
    }
}

/// A JSON number with every digit.
pub fn number(text: &str) -> Value {
    serde_json::from_str(text).expect("a JSON number")
}

/// TIERED fields from widths and prices; the last width is empty.
pub fn tiers(tiers: &[(&str, &str)]) -> Value {
    let tier = |(size, price): &(&str, &str)| match *size {
        "" => json!({ "price": number(price) }),
        size => json!({ "size": number(size), "price": number(price) }),
    };
    json!({ "rate_type": "TIERED", "tiers": tiers.iter().map(tier).collect::<Vec<_>>() })
}

impl Desk {
    pub async fn at(now: &str) -> Self {
        let api = Api::at(&t(now)).await;
        let rates = api.rate_card().await;
        let customer = api.customer("acme").await;
        Self { api, rates, customer }
    }

    pub async fn clock(&self, now: &str) {
        self.api.move_clock(&t(now)).await;
    }

    /// A metric on the property `n`, or on `user` for UNIQUE.
    pub async fn metric(&self, aggregation: &str, groups: &[&str]) -> String {
        let key = match aggregation {
            "COUNT" => None,
            "UNIQUE" => Some("user"),
            _ => Some("n"),
        };
        self.api.metric(Metric { aggregation, key, groups }).await
    }

    /// A product on a metric of its own, which has the product's group keys.
    pub async fn product(&self, name: &str, aggregation: &str, more: Value) -> String {
        let mut groups: Vec<&str> = Vec::new();
        for key in ["pricing_group_key", "presentation_group_key"] {
            for group in more[key].as_array().into_iter().flatten() {
                let group = group.as_str().expect("a property name");
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        let metric = self.metric(aggregation, &groups).await;
        self.api.product(name, &metric, more.clone()).await
    }

    /// A product on a metric that exists already.
    pub async fn product_on(&self, name: &str, metric: &str, more: Value) -> String {
        self.api.product(name, metric, more).await
    }

    /// Changes a product from an hour on.
    pub async fn update(&self, product: &str, from: &str, changes: Value) {
        let body = product_update(product, &t(from), changes);
        assert_eq!(self.api.post("/v1/contract-pricing/products/update", body).await.id(), product);
    }

    pub async fn flat(&self, product: &str, from: &str, price: &str) {
        self.flat_with(product, from, price, json!({})).await;
    }

    pub async fn flat_with(&self, product: &str, from: &str, price: &str, more: Value) {
        self.api.flat(&self.rates, product, &t(from), price, more).await;
    }

    pub async fn rate(&self, product: &str, from: &str, more: Value) {
        self.api.rate(&self.rates, product, &t(from), more).await;
    }

    /// Moves the contract's end; `None` makes it open-ended.
    pub async fn end(&self, contract: &str, end: Option<&str>) {
        let mut body = json!({ "customer_id": self.customer, "contract_id": contract });
        if let Some(end) = end {
            body["ending_before"] = json!(t(end));
        }
        self.api.post("/v1/contracts/updateEndDate", body).await.id();
    }

    pub async fn contract(&self, from: &str, more: Value) -> String {
        self.api.contract(&self.customer, &self.rates, &t(from), more).await
    }

    /// An event of the customer.
    pub async fn event(&self, at: &str, properties: Value) {
        self.api.event("acme", &t(at), properties).await;
    }

    /// An event of the customer whose property `n` is this.
    pub async fn n(&self, at: &str, n: impl Into<Value>) {
        self.event(at, json!({ "n": n.into() })).await;
    }

    /// The customer's usage by window.
    pub async fn usage(&self, metric: &str, window: &str, from: &str, to: &str) -> Vec<String> {
        usage(&self.api, &self.customer, metric, window, from, to).await
    }

    /// The customer's usage invoice that is not void and whose period starts on this date, checked to add up.
    pub async fn invoice(&self, start: &str) -> Value {
        let mut invoices = self.api.invoices(&self.customer).await;
        invoices.retain(|invoice| {
            let starts = invoice["start_timestamp"].as_str().is_some_and(|text| text.starts_with(start));
            starts && invoice["type"] == "USAGE" && invoice["status"] != "VOID"
        });
        assert_eq!(invoices.len(), 1, "usage invoices that start on {start}: {invoices:?}");
        adds_up(&invoices[0]);
        invoices.swap_remove(0)
    }

    /// Its lines and then its total.
    pub async fn lines(&self, start: &str) -> Vec<String> {
        text(&self.invoice(start).await)
    }

    pub async fn total(&self, start: &str) -> String {
        self.invoice(start).await["total"].to_string()
    }

    /// Moves the clock past the grace of an invoice and checks that the final one is the draft, field by field,
    /// through the list and by its id. Answers it.
    pub async fn close(&self, start: &str, now: &str) -> Value {
        let draft = self.invoice(start).await;
        assert_eq!(draft["status"], "DRAFT", "{draft}");
        self.clock(now).await;
        let finalized = self.invoice(start).await;
        assert_eq!(finalized["status"], "FINALIZED", "{finalized}");
        let mut expected = draft;
        expected["status"] = json!("FINALIZED");
        assert_eq!(finalized, expected, "the final invoice is the draft");
        let id = finalized["id"].as_str().expect("an id");
        let path = format!("/v1/customers/{}/invoices/{id}?include_list_prices=true", self.customer);
        assert_eq!(
            self.api.get(&path).await.data(),
            finalized,
            "the list and the invoice by its id are the same"
        );
        finalized
    }
}

/// A charge on these dates with these amounts.
pub fn charge(product: &str, items: &[(&str, i64)]) -> Value {
    let items: Vec<(String, i64)> = items.iter().map(|(at, amount)| (t(at), *amount)).collect();
    let items: Vec<(&str, i64)> = items.iter().map(|(at, amount)| (at.as_str(), *amount)).collect();
    crate::support::charge(product, &items)
}

/// A charge that recurs from one date until before another.
pub fn recurring(
    product: &str,
    frequency: &str,
    distribution: &str,
    amount: i64,
    from: &str,
    until: &str,
) -> Value {
    let schedule = json!({
        "starting_at": t(from), "ending_before": t(until), "frequency": frequency,
        "amount_distribution": distribution, "amount": amount,
    });
    json!({ "product_id": product, "schedule": { "recurring_schedule": schedule } })
}

/// A customer's usage of a metric by window, `null` where there is none.
pub async fn usage(
    api: &Api,
    customer: &str,
    metric: &str,
    window: &str,
    from: &str,
    to: &str,
) -> Vec<String> {
    let body = json!({
        "customer_ids": [customer], "billable_metrics": [{ "id": metric }], "window_size": window,
        "starting_on": t(from), "ending_before": t(to),
    });
    let rows = api.post("/v1/usage", body).await.data();
    rows.as_array().expect("rows").iter().map(|row| row["value"].to_string()).collect()
}

/// The lines of an invoice and its total.
pub fn text(invoice: &Value) -> Vec<String> {
    let mut all = lines(invoice);
    all.push(format!("total {}", invoice["total"]));
    all
}

/// Invoices as `2026-01-15..2026-02-01 FINALIZED issued 2026-02-02`, with hours where they are not midnight.
pub fn statements(invoices: &[Value]) -> Vec<String> {
    let at = |value: &Value| {
        let text = value.as_str().expect("an instant");
        text.strip_suffix("T00:00:00+00:00").or(text.strip_suffix(":00:00+00:00")).unwrap_or(text).to_owned()
    };
    let one = |invoice: &Value| {
        let (start, end, issued) =
            (at(&invoice["start_timestamp"]), at(&invoice["end_timestamp"]), at(&invoice["issued_at"]));
        format!("{start}..{end} {} issued {issued}", invoice["status"].as_str().expect("a status"))
    };
    invoices.iter().map(one).collect()
}

/// The quantities of the lines of one product, in their order.
pub fn quantities(invoice: &Value, product: &str) -> Vec<String> {
    let of_product = |line: &&Value| line["name"] == product;
    let lines = invoice["line_items"].as_array().expect("lines").iter().filter(of_product);
    lines.map(|line| line["quantity"].to_string()).collect()
}

/// Checks without any rounding that each line is its quantity times its price, that what a balance pays for is followed by the
/// line that applies it, and that the total is the sum: all lines in the currency but those that apply a promise to spend.
/// Only where a balance pays for a part of a unit that no decimal writes is the product not to the last digit.
#[track_caller]
pub fn adds_up(invoice: &Value) {
    let mut sum = (0, 0);
    let mut covered: Option<&Value> = None;
    for line in invoice["line_items"].as_array().expect("lines") {
        let total = exact(&line["total"]);
        if line["type"] == "applied_commit_or_credit" {
            let covered = covered.take().unwrap_or_else(|| panic!("nothing is paid for by {line}"));
            let paid = exact(&covered["total"]);
            assert!(same((-paid.0, paid.1), total), "{line} is not what pays for {covered}");
            for field in [
                "applied_commit_or_credit",
                "commit_id",
                "commit_segment_id",
                "commit_type",
                "product_id",
                "product_type",
                "starting_at",
                "ending_before",
                "credit_type",
            ] {
                assert_eq!(line.get(field), covered.get(field), "{field} of {line}");
            }
            assert_eq!((line.get("quantity"), line.get("unit_price")), (None, None), "{line}");
        } else {
            assert!(covered.is_none(), "nothing applies what pays for {covered:?}");
            covered = Some(line).filter(|line| line.get("applied_commit_or_credit").is_some());
            let (quantity, price) = (exact(&line["quantity"]), exact(&line["unit_price"]));
            let product = quantity.0.checked_mul(price.0).expect("test numbers are below 38 digits");
            let product = (product, quantity.1 + price.1);
            let is_cut_off = quantity.1 >= 16;
            let is_product = if is_cut_off { close(product, total) } else { same(product, total) };
            assert!(is_product, "not quantity × price: {line}");
        }
        // What is in a custom pricing unit is in the total as its conversion.
        let is_promised =
            line["type"] == "applied_commit_or_credit" && line["commit_type"] == "PostpaidCommit";
        if line["credit_type"] == invoice["credit_type"] && !is_promised {
            sum = plus(sum, total);
        }
    }
    assert!(covered.is_none(), "nothing applies what pays for {covered:?}");
    assert!(
        same(sum, exact(&invoice["total"])),
        "the lines sum to {sum:?}, the total is {}",
        invoice["total"]
    );
}

/// Digits and how many of them are decimals.
type Exact = (i128, usize);

fn exact(value: &Value) -> Exact {
    let text = value.to_string();
    let decimals = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    (text.replace('.', "").parse().expect("a plain decimal"), decimals)
}

fn scaled((digits, decimals): Exact, to: usize) -> i128 {
    let zeros = u32::try_from(to - decimals).expect("few decimals");
    digits.checked_mul(10_i128.pow(zeros)).expect("test numbers are below 38 digits")
}

fn plus(one: Exact, other: Exact) -> Exact {
    let decimals = one.1.max(other.1);
    (scaled(one, decimals) + scaled(other, decimals), decimals)
}

fn same(one: Exact, other: Exact) -> bool {
    let decimals = one.1.max(other.1);
    scaled(one, decimals) == scaled(other, decimals)
}

/// Whether two numbers are less than a millionth apart.
fn close(one: Exact, other: Exact) -> bool {
    let decimals = one.1.max(other.1);
    let apart = (scaled(one, decimals) - scaled(other, decimals)).abs();
    decimals < 6 || apart < 10_i128.pow(u32::try_from(decimals - 6).expect("few decimals"))
}
