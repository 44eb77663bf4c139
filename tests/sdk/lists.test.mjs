// Lists in pages: the SDK follows the cursor and sees everything once, in order.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { setUpQuickstart } from "./catalog.mjs";
import { Upbeat, all } from "./upbeat.mjs";

let upbeat, client;

before(async () => {
  upbeat = await Upbeat.start("lists.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-01T00:00:00Z");
});

after(() => upbeat?.stop());

test("customers are listed oldest first", async () => {
  const ids = [];
  for (let n = 0; n < 7; n++) {
    await upbeat.setClock(`2026-03-01T00:00:0${n}Z`);
    ids.push((await client.v1.customers.create({ name: `Customer ${n}` })).data.id);
  }
  const listed = (await all(client.v1.customers.list({ limit: 2 }))).map((customer) => customer.id);
  assert.deepEqual(listed, ids);
});

// Moves the clock: last in the file.
test("a year of invoices comes in pages of five", async () => {
  const { customer } = await setUpQuickstart(client);
  await upbeat.setClock("2027-03-05T00:00:00Z");

  const sizes = [];
  const list = { customer_id: customer, status: "FINALIZED", limit: 5 };
  const firstPage = await client.v1.customers.invoices.list(list);
  for await (const page of firstPage.iterPages()) sizes.push(page.data.length);
  assert.deepEqual(sizes, [5, 5, 2]);

  const months = (await all(client.v1.customers.invoices.list(list))).map((invoice) =>
    new Date(invoice.start_timestamp).toISOString().slice(0, 7),
  );
  assert.deepEqual(months, [
    ...["03", "04", "05", "06", "07", "08", "09", "10", "11", "12"].map((month) => `2026-${month}`),
    ...["01", "02"].map((month) => `2027-${month}`),
  ]);
});
