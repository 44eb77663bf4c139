// The API quickstart, from two events to the finalized invoice of March.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { LATE_EVENT, USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, all } from "./upbeat.mjs";

let upbeat, client, quickstart, draft;

const invoices = () => all(client.v1.customers.invoices.list({ customer_id: quickstart.customer }));
const sameInstant = (got, expected) => assert.equal(Date.parse(got), Date.parse(expected));

before(async () => {
  upbeat = await Upbeat.start("quickstart.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  await client.v1.usage.ingest({ usage: USAGE });
  [draft] = await invoices();
});

after(() => upbeat?.stop());

test("the draft invoice prices each model on a line of its own", () => {
  assert.equal(draft.type, "USAGE");
  assert.equal(draft.status, "DRAFT");
  sameInstant(draft.start_timestamp, "2026-03-01T00:00:00Z");
  sameInstant(draft.end_timestamp, "2026-04-01T00:00:00Z");
  sameInstant(draft.issued_at, "2026-04-02T00:00:00Z");
  assert.deepEqual(
    draft.line_items.map(({ quantity, unit_price, total, pricing_group_values, presentation_group_values }) => ({
      quantity,
      unit_price,
      total,
      ...pricing_group_values,
      ...presentation_group_values,
    })),
    [
      { quantity: 1500, unit_price: 1.5, total: 2250, model: "gpt-5", user_id: "user_1" },
      { quantity: 800, unit_price: 0.3, total: 240, model: "gpt-5-mini", user_id: "user_2" },
    ],
  );
  assert.equal(draft.total, 2490);
});

test("usage is summed over the month and by model", async () => {
  const rows = await all(
    client.v1.usage.list({
      window_size: "NONE",
      starting_on: "2026-03-01T00:00:00Z",
      ending_before: "2026-04-01T00:00:00Z",
      customer_ids: [quickstart.customer],
      billable_metrics: [{ id: quickstart.metric, group_by: { key: "model" } }],
    }),
  );
  assert.equal(rows.length, 1);
  assert.equal(rows[0].value, 2300);
  assert.deepEqual(rows[0].groups, { "gpt-5": 1500, "gpt-5-mini": 800 });
});

test("the contract is read in both versions", async () => {
  const ids = { customer_id: quickstart.customer, contract_id: quickstart.contract };
  const first = await client.v1.contracts.retrieve(ids);
  const second = await client.v2.contracts.retrieve(ids);
  assert.equal(first.data.current.rate_card_id, quickstart.rateCard);
  assert.equal(second.data.rate_card_id, quickstart.rateCard);
  sameInstant(first.data.current.starting_at, "2026-03-01T00:00:00Z");
  sameInstant(second.data.starting_at, "2026-03-01T00:00:00Z");
});

// Moves the clock: last in the file.
test("March is finalized unchanged, April opens, and a late event changes neither", async () => {
  await upbeat.setClock("2026-04-02T01:00:00Z");
  const [march, april] = await invoices();
  assert.deepEqual(march, { ...draft, status: "FINALIZED" });
  assert.equal(april.status, "DRAFT");
  assert.equal(april.total, 0);
  sameInstant(april.start_timestamp, "2026-04-01T00:00:00Z");

  await client.v1.usage.ingest({ usage: [LATE_EVENT] });
  assert.deepEqual(await invoices(), [march, april]);
});
