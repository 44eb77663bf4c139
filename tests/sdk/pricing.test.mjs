// Metrics, products and rate cards after their creation.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { Upbeat, all, refusal } from "./upbeat.mjs";

let upbeat, client, metrics, products, rateCards;

const createMetric = async (name = "Calls") => (await metrics.create({ name, aggregation_type: "COUNT" })).data.id;
const createProduct = async (name) =>
  (await products.create({ name, type: "USAGE", billable_metric_id: await createMetric(name) })).data.id;
const addRate = (card, product, price, starting_at, more = {}) =>
  rateCards.rates.add({
    rate_card_id: card,
    product_id: product,
    starting_at,
    entitled: true,
    rate_type: "FLAT",
    price,
    ...more,
  });

before(async () => {
  upbeat = await Upbeat.start("pricing.node");
  client = upbeat.client();
  ({ billableMetrics: metrics } = client.v1);
  ({ products, rateCards } = client.v1.contracts);
  await upbeat.setClock("2026-03-09T15:00:00Z");
});

after(() => upbeat?.stop());

test("a metric is renamed, for which this SDK has no method, and nothing else", async () => {
  const id = await createMetric();
  const update = (body) => client.put(`/v1/billable-metrics/${id}`, { body });
  assert.deepEqual(await update({ name: "Requests" }), { data: { id } });
  assert.equal((await metrics.retrieve({ billable_metric_id: id })).data.name, "Requests");
  await assert.rejects(
    update({ name: "Sums", aggregation_type: "SUM" }),
    refusal(Metronome.BadRequestError, "aggregation_type"),
  );
});

test("a metric of the older operation is shown to a customer with its deprecated fields", async () => {
  const filter = {
    type: "object",
    required: ["event_type"],
    properties: { event_type: { enum: ["request"] }, properties: { type: "object", required: ["tokens"] } },
  };
  const created = await client.post("/v1/billable-metrics", {
    body: { name: "Tokens", aggregate: "sum", aggregate_key: "tokens", filter },
  });
  const customer = (await client.v1.customers.create({ name: "Old client" })).data.id;
  const listed = await all(client.v1.customers.listBillableMetrics({ customer_id: customer, limit: 1 }));
  const shown = listed.find((metric) => metric.id === created.data.id);
  assert.equal(shown.aggregation_type, "SUM");
  assert.deepEqual([shown.aggregate, shown.aggregate_keys, shown.filter], ["sum", ["tokens"], filter]);
  const priced = await all(client.v1.customers.listBillableMetrics({ customer_id: customer, on_current_plan: true }));
  assert.deepEqual(priced, []);
});

test("a product changes over time and is archived", async () => {
  const id = await createProduct("Minutes");
  await products.update({ product_id: id, starting_at: "2026-03-01T00:00:00Z", name: "Hours" });
  await products.update({ product_id: id, starting_at: "2026-04-01T00:00:00Z", name: "Days" });
  const { data } = await products.retrieve({ id });
  assert.deepEqual([data.initial.name, data.current.name], ["Minutes", "Hours"]);
  assert.deepEqual(
    data.updates.map((update) => update.name),
    ["Hours", "Days"],
  );
  await assert.rejects(
    products.update({ product_id: id, starting_at: "2026-03-01T00:30:00Z", name: "Seconds" }),
    refusal(Metronome.BadRequestError, "starting_at"),
  );
  await products.archive({ product_id: id });
  const ids = async (archive_filter) =>
    (await all(products.list({ archive_filter, limit: 1 }))).map((product) => product.id);
  assert.ok((await ids("ARCHIVED")).includes(id));
  assert.ok(!(await ids("NOT_ARCHIVED")).includes(id));
});

test("a fixed product has no metric", async () => {
  const fee = await products.create({ name: "Fee", type: "FIXED" });
  assert.equal((await products.retrieve({ id: fee.data.id })).data.type, "FIXED");
  await assert.rejects(
    products.create({ name: "Fee", type: "FIXED", billable_metric_id: await createMetric() }),
    refusal(Metronome.BadRequestError, "billable_metric_id"),
  );
});

test("a rate card is updated and archived", async () => {
  const id = (await rateCards.create({ name: "Old" })).data.id;
  await rateCards.update({ rate_card_id: id, name: "New", aliases: [{ name: "payg" }] });
  const { data } = await rateCards.retrieve({ id });
  assert.deepEqual([data.name, data.aliases], ["New", [{ name: "payg" }]]);
  await assert.rejects(rateCards.update({ rate_card_id: id }), refusal(Metronome.BadRequestError, "at least one of"));
  await rateCards.archive({ id });
  const listed = (await all(rateCards.list({ limit: 1 }))).map((card) => card.id);
  assert.ok(!listed.includes(id));
  await assert.rejects(rateCards.archive({ id: randomUUID() }), Metronome.NotFoundError);
});

test("the products of a card are ordered", async () => {
  const card = (await rateCards.create({ name: "Ordered" })).data.id;
  const [a, b, c] = [await createProduct("A"), await createProduct("B"), await createProduct("C")];
  for (const product of [a, b, c]) await addRate(card, product, 1, "2026-03-01T00:00:00Z");
  const order = async () => {
    const rates = await all(rateCards.rates.list({ rate_card_id: card, at: "2026-03-09T00:00:00Z", limit: 2 }));
    return rates.map((rate) => rate.product_name).join("");
  };
  await rateCards.productOrders.set({ rate_card_id: card, product_order: [c] });
  assert.equal(await order(), "CAB");
  await rateCards.productOrders.update({ rate_card_id: card, product_moves: [{ product_id: b, position: 0 }] });
  assert.equal(await order(), "BCA");
  await assert.rejects(
    rateCards.productOrders.set({ rate_card_id: card, product_order: [a, a] }),
    refusal(Metronome.BadRequestError, "product_order[1]"),
  );
});

test("the schedule of a card comes in pages of stretches", async () => {
  const card = (await rateCards.create({ name: "Changing" })).data.id;
  const product = await createProduct("Calls");
  await addRate(card, product, 1, "2026-01-01T00:00:00Z");
  await addRate(card, product, 2, "2026-03-01T00:00:00Z", { ending_before: "2026-04-01T00:00:00Z" });
  const stretches = [];
  let next_page;
  do {
    const asked = { rate_card_id: card, starting_at: "2026-01-01T00:00:00Z", limit: 2, next_page };
    const page = await rateCards.retrieveRateSchedule(asked);
    assert.ok(page.data.length <= 2);
    stretches.push(...page.data);
    next_page = page.next_page;
  } while (next_page);
  const month = (text) => text?.slice(0, 7);
  assert.deepEqual(
    stretches.map(({ starting_at, ending_before, rate }) => [month(starting_at), month(ending_before), rate.price]),
    [
      ["2026-01", "2026-03", 1],
      ["2026-03", "2026-04", 2],
      ["2026-04", undefined, 1],
    ],
  );
});

test("seats and shares of spend have rates of their own", async () => {
  const seat = (await products.create({ name: "Seat", type: "SUBSCRIPTION" })).data.id;
  const calls = await createProduct("Calls");
  const support = (
    await products.create({ name: "Support", type: "COMPOSITE", composite_product_ids: [calls], exclude_free_usage: true })
  ).data.id;
  const { data } = await products.retrieve({ id: support });
  assert.deepEqual([data.type, data.current.composite_product_ids], ["COMPOSITE", [calls]]);
  const card = (await rateCards.create({ name: "Everything" })).data.id;
  await addRate(card, seat, 2000, "2026-01-01T00:00:00Z", { billing_frequency: "MONTHLY" });
  await addRate(card, seat, 20000, "2026-01-01T00:00:00Z", { billing_frequency: "ANNUAL" });
  await addRate(card, support, 0.1, "2026-01-01T00:00:00Z", { rate_type: "PERCENTAGE" });
  const commit_rate = { rate_type: "FLAT", price: 3 };
  const added = await addRate(card, calls, 4, "2026-01-01T00:00:00Z", { commit_rate });
  assert.deepEqual([added.data.price, added.data.commit_rate], [4, commit_rate]);
  const rates = async (selectors) => {
    const rows = await all(rateCards.rates.list({ rate_card_id: card, at: "2026-03-09T00:00:00Z", selectors }));
    return rows.map(({ product_name, billing_frequency, rate }) => [product_name, billing_frequency, rate.price]);
  };
  assert.deepEqual(await rates([]), [
    ["Seat", "MONTHLY", 2000],
    ["Seat", "ANNUAL", 20000],
    ["Support", undefined, 0.1],
    ["Calls", undefined, 4],
  ]);
  assert.deepEqual(await rates([{ billing_frequency: "annual" }]), [["Seat", "ANNUAL", 20000]]);
  await assert.rejects(
    addRate(card, seat, 1, "2026-01-01T00:00:00Z"),
    refusal(Metronome.BadRequestError, "billing_frequency"),
  );
});
