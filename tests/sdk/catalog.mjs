// What the tests sell: the tokens of the API quickstart, priced by model.

export const ALIAS = "acct-quickstart";

const event = (transaction_id, timestamp, properties) => ({
  transaction_id,
  customer_id: ALIAS,
  event_type: "llm_request",
  timestamp,
  properties,
});

export const USAGE = [
  event("quickstart-1", "2026-03-09T12:00:00Z", { model: "gpt-5", input_tokens: "1500", user_id: "user_1" }),
  event("quickstart-2", "2026-03-09T12:01:00Z", { model: "gpt-5-mini", input_tokens: "800", user_id: "user_2" }),
];

export const LATE_EVENT = event("late-1", "2026-03-31T23:00:00Z", {
  model: "gpt-5",
  input_tokens: "999",
  user_id: "user_1",
});

/** Metric, product, rate card, rates, customer and contract; no usage yet. Answers with their ids. */
export async function setUpQuickstart(client) {
  const { billableMetrics, contracts, customers } = client.v1;
  const metric = await billableMetrics.create({
    name: "input_tokens",
    aggregation_type: "SUM",
    aggregation_key: "input_tokens",
    event_type_filter: { in_values: ["llm_request"] },
    property_filters: ["model", "input_tokens", "user_id"].map((name) => ({ name, exists: true })),
    group_keys: [["model"], ["user_id"]],
  });
  const product = await contracts.products.create({
    name: "Input tokens",
    type: "USAGE",
    billable_metric_id: metric.data.id,
    pricing_group_key: ["model"],
    presentation_group_key: ["user_id"],
  });
  const rateCard = await contracts.rateCards.create({ name: "Standard" });
  const rate = (model, price) => ({
    product_id: product.data.id,
    starting_at: "2026-03-01T00:00:00Z",
    entitled: true,
    rate_type: "FLAT",
    price,
    pricing_group_values: { model },
  });
  await contracts.rateCards.rates.add({ rate_card_id: rateCard.data.id, ...rate("gpt-5", 1.5) });
  await contracts.rateCards.rates.addMany({ rate_card_id: rateCard.data.id, rates: [rate("gpt-5-mini", 0.3)] });
  const customer = await customers.create({ name: "Quickstart Inc.", ingest_aliases: [ALIAS] });
  const contract = await contracts.create({
    customer_id: customer.data.id,
    rate_card_id: rateCard.data.id,
    starting_at: "2026-03-01T00:00:00Z",
    usage_statement_schedule: { frequency: "MONTHLY" },
  });
  return {
    metric: metric.data.id,
    product: product.data.id,
    rateCard: rateCard.data.id,
    customer: customer.data.id,
    contract: contract.data.id,
  };
}
