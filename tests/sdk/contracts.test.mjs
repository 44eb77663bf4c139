// Contracts that end or are archived, and their scheduled charges.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, all, refusal } from "./upbeat.mjs";

let upbeat, client, contracts, quickstart, fee;

const invoices = async (customer_id, filters = {}) =>
  (await all(client.v1.customers.invoices.list({ customer_id, limit: 2, ...filters }))).map(
    ({ type, status, end_timestamp, total }) => [type, status, end_timestamp.slice(0, 10), total],
  );

/** A customer under a contract since the first of March, with charges of these dates and amounts. */
async function sign(charges, terms = {}) {
  const customer_id = (await client.v1.customers.create({ name: "Signed" })).data.id;
  const schedule_items = Object.entries(charges).map(([date, amount]) => ({ timestamp: `${date}T00:00:00Z`, amount }));
  const { data } = await contracts.create({
    customer_id,
    starting_at: "2026-03-01T00:00:00Z",
    scheduled_charges: [{ product_id: fee, schedule: { schedule_items } }],
    ...terms,
  });
  return { customer_id, contract_id: data.id };
}

before(async () => {
  upbeat = await Upbeat.start("contracts.node");
  client = upbeat.client();
  ({ contracts } = client.v1);
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  await client.v1.usage.ingest({ usage: USAGE });
  fee = (await contracts.products.create({ name: "Fee", type: "FIXED" })).data.id;
});

after(() => upbeat?.stop());

test("a contract ends, is open again, and is archived", async () => {
  const ids = { customer_id: quickstart.customer, contract_id: quickstart.contract };
  await contracts.updateEndDate({ ...ids, ending_before: "2026-03-20T00:00:00Z" });
  assert.deepEqual(await invoices(ids.customer_id), [["USAGE", "DRAFT", "2026-03-20", 2490]]);
  await contracts.updateEndDate(ids);
  assert.deepEqual(await invoices(ids.customer_id), [["USAGE", "DRAFT", "2026-04-01", 2490]]);
  await assert.rejects(
    contracts.updateEndDate({ ...ids, ending_before: "2026-03-01T00:00:00Z" }),
    refusal(Metronome.BadRequestError, "ending_before"),
  );
  await contracts.archive({ ...ids, void_invoices: true });
  assert.deepEqual(await invoices(ids.customer_id), []);
  assert.equal((await contracts.list({ customer_id: ids.customer_id })).data.length, 0);
  const listed = await contracts.list({ customer_id: ids.customer_id, include_archived: true });
  assert.deepEqual(
    listed.data.map((contract) => contract.id),
    [ids.contract_id],
  );
  await assert.rejects(
    contracts.archive({ ...ids, void_invoices: true }),
    refusal(Metronome.BadRequestError, "archived"),
  );
  await assert.rejects(
    contracts.archive({ ...ids, contract_id: randomUUID(), void_invoices: true }),
    Metronome.NotFoundError,
  );
});

test("each scheduled charge has an invoice, and an earlier end takes the later ones away", async () => {
  const ids = await sign({ "2026-04-10": 500, "2026-05-10": 600, "2026-06-10": 700 });
  assert.deepEqual(await invoices(ids.customer_id, { type: "SCHEDULED" }), [
    ["SCHEDULED", "DRAFT", "2026-04-10", 500],
    ["SCHEDULED", "DRAFT", "2026-05-10", 600],
    ["SCHEDULED", "DRAFT", "2026-06-10", 700],
  ]);
  await contracts.updateEndDate({ ...ids, ending_before: "2026-05-01T00:00:00Z" });
  assert.deepEqual(await invoices(ids.customer_id, { type: "SCHEDULED" }), [["SCHEDULED", "DRAFT", "2026-04-10", 500]]);
  const { data } = await client.v2.contracts.retrieve(ids);
  const [charge] = data.scheduled_charges;
  assert.deepEqual(
    charge.schedule.schedule_items.map(({ amount, unit_price, quantity }) => [amount, unit_price, quantity]),
    [[500, 500, 1]],
  );
});

test("a charge is of a fixed product", async () => {
  const terms = {
    scheduled_charges: [
      {
        product_id: quickstart.product,
        schedule: { schedule_items: [{ timestamp: "2026-04-01T00:00:00Z", amount: 1 }] },
      },
    ],
  };
  await assert.rejects(sign({}, terms), refusal(Metronome.BadRequestError, "scheduled_charges[0].product_id"));
});

// Moves the clock: last in the file.
test("a charge of the day on which a statement ends rides on it, another is on its own", async () => {
  const terms = { scheduled_charges_on_usage_invoices: "ALL" };
  const ids = await sign({ "2026-03-20": 1, "2026-04-01": 100 }, terms);
  await upbeat.setClock("2026-04-02T00:00:00Z");
  assert.deepEqual(await invoices(ids.customer_id, { status: "FINALIZED" }), [
    ["SCHEDULED", "FINALIZED", "2026-03-20", 1],
    ["USAGE", "FINALIZED", "2026-04-01", 100],
  ]);
  await contracts.archive({ ...ids, void_invoices: true });
  const statuses = (await invoices(ids.customer_id)).map(([, status]) => status);
  assert.deepEqual(statuses, ["VOID", "VOID"]);
});
