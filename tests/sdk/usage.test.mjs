// Usage by group, events by their transaction ids, and the limit on searches.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, all, refusal } from "./upbeat.mjs";

let upbeat, client, quickstart, march;

before(async () => {
  upbeat = await Upbeat.start("usage.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  await client.v1.usage.ingest({ usage: USAGE });
  march = {
    customer_id: quickstart.customer,
    billable_metric_id: quickstart.metric,
    window_size: "NONE",
    starting_on: "2026-03-01T00:00:00Z",
    ending_before: "2026-04-01T00:00:00Z",
  };
});

after(() => upbeat?.stop());

test("usage is listed by group, in pages", async () => {
  const grouped = { ...march, group_key: ["model"], limit: 1 };
  const rows = await all(client.v1.usage.listWithGroups(grouped));
  assert.deepEqual(
    rows.map(({ group, value }) => [group.model, value]),
    [
      ["gpt-5", 1500],
      ["gpt-5-mini", 800],
    ],
  );
  const filtered = { ...grouped, group_filters: { model: ["gpt-5-mini"] } };
  assert.deepEqual(
    (await all(client.v1.usage.listWithGroups(filtered))).map((row) => row.value),
    [800],
  );
});

test("the current period stands for its dates", async () => {
  const { starting_on, ending_before, ...rest } = march;
  const [row] = await all(client.v1.usage.listWithGroups({ ...rest, current_period: true }));
  assert.equal(row.value, 2300);
  assert.equal(Date.parse(row.starting_on), Date.parse(starting_on));
  assert.equal(Date.parse(row.ending_before), Date.parse(ending_before));
});

test("a question without sense is refused by its field", async () => {
  for (const [field, change] of [
    ["group_key", { group_key: ["zone"] }],
    ["current_period", { current_period: true }],
    ["next_page", { next_page: "forged" }],
  ]) {
    await assert.rejects(
      client.v1.usage.listWithGroups({ ...march, ...change }),
      refusal(Metronome.BadRequestError, field),
    );
  }
  const stranger = randomUUID();
  await assert.rejects(
    client.v1.usage.listWithGroups({ ...march, customer_id: stranger }),
    refusal(Metronome.NotFoundError, stranger),
  );
});

test("events are found as a bare list, repeats too", async () => {
  await client.v1.usage.ingest({ usage: USAGE.slice(0, 1) });
  const found = await client.v1.usage.search({ transactionIds: ["quickstart-2", "unknown", "quickstart-1"] });
  assert.deepEqual(
    found.map(({ transaction_id, is_duplicate, matched_customer }) => [
      transaction_id,
      is_duplicate,
      matched_customer?.id,
    ]),
    [
      ["quickstart-2", false, quickstart.customer],
      ["quickstart-1", false, quickstart.customer],
      ["quickstart-1", true, undefined],
    ],
  );
  assert.deepEqual(
    found[0].matched_billable_metrics.map((metric) => metric.id),
    [quickstart.metric],
  );
  assert.deepEqual(found[0].properties, USAGE[1].properties);
});

// Uses the limit up: last in the file.
test("searches beyond the limit are tried again after a second and succeed", async () => {
  const answers = [];
  const impatient = upbeat.client({
    maxRetries: 5,
    fetch: async (...request) => {
      const response = await fetch(...request);
      answers.push([response.status, response.headers.get("retry-after"), performance.now()]);
      return response;
    },
  });
  const searches = Array.from({ length: 15 }, () => impatient.v1.usage.search({ transactionIds: ["none"] }));
  assert.deepEqual(await Promise.all(searches), Array(15).fill([]));
  const refused = answers.filter(([status]) => status === 429);
  assert.ok(refused.length > 0, "none was refused");
  assert.deepEqual([...new Set(refused.map(([, retryAfter]) => retryAfter))], ["1"]);
  const [, , first] = refused[0];
  assert.ok(answers.at(-1)[2] - first >= 1000, "no retry before its time");

  const once = Array.from({ length: 15 }, () =>
    impatient.v1.usage.search({ transactionIds: ["none"] }, { maxRetries: 0 }).catch((error) => error),
  );
  const errors = (await Promise.all(once)).filter((outcome) => outcome instanceof Error);
  assert.ok(errors.length > 0, "none was refused");
  for (const error of errors) refusal(Metronome.RateLimitError, "5")(error);
});
