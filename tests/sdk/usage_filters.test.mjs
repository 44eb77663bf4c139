// Contracts that bill a part of their customer's usage, and what events would cost.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, refusal } from "./upbeat.mjs";

let upbeat, client, quickstart, filtered;

before(async () => {
  upbeat = await Upbeat.start("usage_filters.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  await client.v1.usage.ingest({ usage: USAGE });
  const { data } = await client.v1.contracts.create({
    customer_id: quickstart.customer,
    rate_card_id: quickstart.rateCard,
    starting_at: "2026-03-01T00:00:00Z",
    usage_filter: { group_key: "user_id", group_values: ["user_2"] },
  });
  filtered = data.id;
});

after(() => upbeat?.stop());

test("a filter is set from a date on and shown with its time", async () => {
  const ids = { customer_id: quickstart.customer, contract_id: filtered };
  const next = { group_key: "user_id", group_values: ["user_1"], starting_at: "2026-04-01T00:00:00Z" };
  await client.v1.contracts.setUsageFilter({ ...ids, ...next });
  assert.deepEqual((await client.v2.contracts.retrieve(ids)).data.usage_filter, [
    {
      group_key: "user_id",
      group_values: ["user_2"],
      starting_at: "2026-03-01T00:00:00Z",
      ending_before: "2026-04-01T00:00:00Z",
    },
    next,
  ]);
  await assert.rejects(
    client.v1.contracts.setUsageFilter({ ...ids, ...next, group_values: [] }),
    refusal(Metronome.BadRequestError, "group_values"),
  );
});

test("a preview says what events would cost", async () => {
  const { data } = await client.v1.customers.previewEvents({
    customer_id: quickstart.customer,
    mode: "merge",
    events: [
      {
        event_type: "llm_request",
        timestamp: "2026-03-09T14:00:00Z",
        properties: { model: "gpt-5-mini", input_tokens: "100", user_id: "user_2" },
      },
    ],
  });
  const totals = Object.fromEntries(data.map(({ contract_id, total }) => [contract_id, total]));
  assert.deepEqual(totals, { [quickstart.contract]: 1500 * 1.5 + 900 * 0.3, [filtered]: 900 * 0.3 });
});
