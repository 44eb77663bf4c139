// Commits and credits of units of usage: so many tokens are paid for, whatever a token costs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, all, refusal } from "./upbeat.mjs";

const USD = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
const NO_UNIT = "00000000-0000-0000-0000-000000000000";

let upbeat, client, contracts, customers, quickstart, customer_id, product;

const grant = (amount, more = {}, access = {}) => ({
  customer_id,
  product_id: product,
  priority: 100,
  access_schedule: {
    access_type: "QUANTITY",
    schedule_items: [{ amount, starting_at: "2026-03-01T00:00:00Z", ending_before: "2026-06-01T00:00:00Z" }],
    ...access,
  },
  ...more,
});

const entries = ({ ledger }) => ledger.map(({ timestamp, type, amount }) => [timestamp.slice(0, 10), type, amount]);

before(async () => {
  upbeat = await Upbeat.start("quantity.node");
  client = upbeat.client();
  ({ contracts, customers } = client.v1);
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  customer_id = quickstart.customer;
  await client.v1.usage.ingest({ usage: USAGE });
  product = (await contracts.products.create({ name: "Commitment", type: "FIXED" })).data.id;
});

after(() => upbeat?.stop());

test("units are refused where they have a unit of money or are promised", async () => {
  const inCents = { credit_type_id: USD };
  await assert.rejects(
    customers.commits.create(grant(10, { type: "PREPAID" }, inCents)),
    refusal(Metronome.BadRequestError, "access_schedule.credit_type_id"),
  );
  await assert.rejects(
    customers.credits.create(grant(10, {}, inCents)),
    refusal(Metronome.BadRequestError, "access_schedule.credit_type_id"),
  );
  const paid = { schedule_items: [{ amount: 10, timestamp: "2026-06-01T00:00:00Z" }] };
  await assert.rejects(
    customers.commits.create(
      grant(10, { type: "POSTPAID", invoice_schedule: paid, invoice_contract_id: quickstart.contract }),
    ),
    refusal(Metronome.BadRequestError, "access_schedule.access_type"),
  );
  await assert.rejects(
    contracts.getNetBalance({ customer_id, access_type: "QUANTITY", credit_type_id: USD }),
    refusal(Metronome.BadRequestError, "credit_type_id"),
  );
});

// From here on the clock moves.
test("units are drawn by usage, whatever it costs, and listed and summed apart from money", async () => {
  const { id } = (await customers.commits.create(grant(1700, { type: "PREPAID", name: "Tokens" }))).data;
  const money = grant(90, { name: "Gift", priority: 200 }, { access_type: "SPEND" });
  const { id: moneyId } = (await customers.credits.create(money)).data;

  // The dearest first: 1500 tokens for 1.5 each, then 1700 - 1500 = 200 tokens of 800 for 0.3 each. The other 600 cost
  // 180, of which the credit of 90 pays for 300 tokens.
  const invoices = () => all(customers.invoices.list({ customer_id, type: "USAGE" }));
  const [draft] = await invoices();
  const lines = ({ line_items }) =>
    line_items.map(({ type, quantity, total, quantity_consumed, commit_id }) => [
      type,
      quantity,
      total,
      quantity_consumed,
      commit_id,
    ]);
  const expected = [
    ["usage", 1500, 2250, undefined, id],
    ["applied_commit_or_credit", undefined, -2250, 1500, id],
    ["usage", 200, 60, undefined, id],
    ["applied_commit_or_credit", undefined, -60, 200, id],
    ["usage", 300, 90, undefined, moneyId],
    ["applied_commit_or_credit", undefined, -90, undefined, moneyId],
    ["usage", 300, 90, undefined, undefined],
  ];
  assert.deepEqual([lines(draft), draft.total], [expected, 90]);
  const marks = draft.line_items.map(({ applied_commit_or_credit }) => applied_commit_or_credit);
  const byUnits = { id, type: "PREPAID", access_type: "QUANTITY" };
  const byMoney = { id: moneyId, type: "CREDIT", access_type: "SPEND" };
  assert.deepEqual(marks, [byUnits, byUnits, byUnits, byUnits, byMoney, byMoney, undefined]);

  const net = async (more = {}) => (await contracts.getNetBalance({ customer_id, ...more })).data;
  const finalized = { invoice_inclusion_mode: "FINALIZED" };
  assert.deepEqual(await net(finalized), { balance: 90, credit_type_id: USD });
  assert.deepEqual(await net({ access_type: "QUANTITY" }), { balance: 0, credit_type_id: NO_UNIT });
  assert.deepEqual(await net({ access_type: "QUANTITY", ...finalized }), { balance: 1700, credit_type_id: NO_UNIT });
  for (const [access_type, only] of [["QUANTITY", id], ["SPEND", moneyId]]) {
    const listed = await all(contracts.listBalances({ customer_id, access_type }));
    assert.deepEqual(listed.map((balance) => balance.id), [only]);
  }
  assert.deepEqual(await all(customers.commits.list({ customer_id, access_type: "SPEND" })), []);

  await upbeat.setClock("2026-04-02T00:00:00Z");
  const march = (await customers.invoices.retrieve({ customer_id, invoice_id: draft.id })).data;
  assert.deepEqual([march.status, lines(march), march.total], ["FINALIZED", expected, 90]);
  const [spent] = await all(
    customers.commits.list({ customer_id, access_type: "QUANTITY", include_balance: true, include_ledgers: true }),
  );
  assert.deepEqual([spent.access_schedule.access_type, spent.access_schedule.credit_type], ["QUANTITY", undefined]);
  assert.deepEqual(entries(spent), [
    ["2026-03-01", "PREPAID_COMMIT_SEGMENT_START", 1700],
    ["2026-04-01", "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -1700],
  ]);
  assert.equal(spent.balance, 0);
});
