// What one contract agrees about prices beside its card.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { Upbeat, refusal } from "./upbeat.mjs";

let upbeat, client, customer, card, product;

before(async () => {
  upbeat = await Upbeat.start("overrides.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
  const metric = await client.v1.billableMetrics.create({ name: "Calls", aggregation_type: "COUNT" });
  const { products, rateCards } = client.v1.contracts;
  product = (await products.create({ name: "Calls", type: "USAGE", billable_metric_id: metric.data.id })).data.id;
  card = (await rateCards.create({ name: "Standard" })).data.id;
  await rateCards.rates.add({
    rate_card_id: card,
    product_id: product,
    starting_at: "2026-01-01T00:00:00Z",
    entitled: true,
    rate_type: "FLAT",
    price: 100,
  });
  customer = (await client.v1.customers.create({ name: "Signed" })).data.id;
});

after(() => upbeat?.stop());

const sign = (overrides) =>
  client.v1.contracts.create({
    customer_id: customer,
    rate_card_id: card,
    starting_at: "2026-03-01T00:00:00Z",
    overrides,
  });

test("an override changes the rates of its contract", async () => {
  const discount = { starting_at: "2026-03-01T00:00:00Z", type: "MULTIPLIER", multiplier: 0.9, product_id: product };
  const contract = (await sign([discount])).data.id;
  const ids = { customer_id: customer, contract_id: contract };
  const { overrides } = (await client.v2.contracts.retrieve(ids)).data;
  assert.equal(overrides[0].multiplier, 0.9);
  const { data } = await client.v1.contracts.retrieveRateSchedule(ids);
  assert.deepEqual(
    data.map((row) => [row.list_rate.price, row.override_rate.price]),
    [[100, 90]],
  );
});

test("an override without a type or an entitlement is refused by its place", async () => {
  const nothing = { starting_at: "2026-03-01T00:00:00Z", product_id: product };
  await assert.rejects(sign([nothing]), refusal(Metronome.BadRequestError, "overrides[0]"));
});
