// Commits and credits: granted, drawn by usage, read in ledgers, ended, edited, archived.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, all, refusal } from "./upbeat.mjs";

let upbeat, client, quickstart, product;

const grant = (amount, more = {}) => ({
  customer_id: quickstart.customer,
  product_id: product,
  priority: 100,
  access_schedule: {
    schedule_items: [{ amount, starting_at: "2026-03-01T00:00:00Z", ending_before: "2026-06-01T00:00:00Z" }],
  },
  ...more,
});

/** All that there is to see of a commit or credit. */
async function seen(id) {
  const flags = { include_balance: true, include_ledgers: true, include_contract_balances: true };
  const [balance] = await all(
    client.v1.contracts.listBalances({ customer_id: quickstart.customer, id, include_archived: true, ...flags }),
  );
  return balance;
}

const entries = ({ ledger }) => ledger.map(({ timestamp, type, amount }) => [timestamp.slice(0, 10), type, amount]);

const usageInvoices = () =>
  all(client.v1.customers.invoices.list({ customer_id: quickstart.customer, type: "USAGE" }));

before(async () => {
  upbeat = await Upbeat.start("commits.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  await client.v1.usage.ingest({ usage: USAGE });
  product = (await client.v1.contracts.products.create({ name: "Commitment", type: "FIXED" })).data.id;
});

after(() => upbeat?.stop());

test("a commit is made once, ends earlier, is edited and archived", async () => {
  const { commits } = client.v1.customers;
  const terms = grant(500, { type: "PREPAID", name: "Starter", uniqueness_key: "starter" });
  const { id } = (await commits.create(terms)).data;
  await assert.rejects(commits.create(terms), Metronome.ConflictError);
  await assert.rejects(
    commits.create({ ...terms, type: "POSTPAID", uniqueness_key: "promise" }),
    refusal(Metronome.BadRequestError, "invoice_schedule"),
  );
  await assert.rejects(commits.create({ ...terms, customer_id: randomUUID() }), Metronome.NotFoundError);
  const ids = { customer_id: quickstart.customer, commit_id: id };
  const ended = await commits.updateEndDate({ ...ids, access_ending_before: "2026-05-01T00:00:00Z" });
  assert.equal(ended.data.id, id);
  await client.v2.contracts.editCommit({ ...ids, name: "Renamed", priority: 3 });
  const [listed] = await all(commits.list({ ...ids, include_balance: true }));
  assert.deepEqual([listed.name, listed.priority, listed.type], ["Renamed", 3, "PREPAID"]);
  assert.equal(listed.access_schedule.schedule_items[0].ending_before, "2026-05-01T00:00:00Z");
  assert.equal(listed.balance, 0);
  assert.equal((await usageInvoices())[0].total, 1990);
  await client.post("/v2/contracts/commits/archive", { body: ids });
  assert.deepEqual(await all(commits.list({ customer_id: quickstart.customer })), []);
  assert.equal((await usageInvoices())[0].total, 2490);
  // Past the checking proxy: the published enum of v2 codes has no `BadRequest`.
  const unchecked = upbeat.client({ baseURL: upbeat.serverURL });
  await assert.rejects(
    unchecked.v2.contracts.editCommit({ ...ids, commit_id: randomUUID(), priority: 1 }),
    refusal(Metronome.BadRequestError, "commit_id"),
  );
});

test("a credit is made, ends earlier, is edited and archived", async () => {
  const { credits } = client.v1.customers;
  const { id } = (await credits.create(grant(90, { name: "Gift" }))).data;
  const ids = { customer_id: quickstart.customer, credit_id: id };
  await credits.updateEndDate({ ...ids, access_ending_before: "2026-05-01T00:00:00Z" });
  await assert.rejects(
    credits.updateEndDate({ ...ids, access_ending_before: "2026-06-01T00:00:00Z" }),
    refusal(Metronome.BadRequestError, "access_ending_before"),
  );
  await client.v2.contracts.editCredit({ ...ids, description: "For the outage" });
  const [listed] = await all(credits.list({ ...ids, include_balance: true, include_ledgers: true }));
  assert.deepEqual([listed.type, listed.name, listed.description], ["CREDIT", "Gift", "For the outage"]);
  assert.deepEqual(entries(listed), [
    ["2026-03-01", "CREDIT_SEGMENT_START", 90],
    ["2026-04-01", "CREDIT_AUTOMATED_INVOICE_DEDUCTION", -90],
  ]);
  await client.post("/v2/contracts/credits/archive", { body: ids });
  assert.deepEqual(await all(credits.list({ customer_id: quickstart.customer })), []);
  await assert.rejects(
    client.v2.contracts.editCredit({ ...ids, customer_id: randomUUID(), priority: 1 }),
    (error) => error instanceof Metronome.BadRequestError && error.error.code === "CustomerNotFound",
  );
});

// From here on the clock moves.
test("a grant is drawn by a draft, by the final invoice, and again after it was void", async () => {
  const { contracts, customers, invoices } = client.v1;
  const { customer: customer_id } = quickstart;
  const { id } = (await customers.commits.create(grant(1000, { type: "PREPAID", name: "Paid ahead" }))).data;
  const net = async (more = {}) => (await contracts.getNetBalance({ customer_id, ...more })).data.balance;
  assert.deepEqual([await net(), await net({ invoice_inclusion_mode: "FINALIZED" })], [0, 1000]);
  const [draft] = await usageInvoices();
  assert.equal(draft.total, 1490);
  const applied = draft.line_items.filter(({ type }) => type === "applied_commit_or_credit");
  assert.deepEqual(
    applied.map(({ name, total, commit_id, applied_commit_or_credit }) => [name, total, commit_id, applied_commit_or_credit]),
    [["Paid ahead applied", -1000, id, { id, type: "PREPAID", access_type: "SPEND" }]],
  );

  const [segment] = (await seen(id)).access_schedule.schedule_items;
  const entry = { customer_id, id, segment_id: segment.id, amount: 490, reason: "Goodwill" };
  await contracts.addManualBalanceEntry(entry);
  await assert.rejects(
    contracts.addManualBalanceEntry({ ...entry, amount: 0 }),
    refusal(Metronome.BadRequestError, "amount"),
  );
  await assert.rejects(contracts.addManualBalanceEntry({ ...entry, segment_id: randomUUID() }), Metronome.NotFoundError);
  assert.equal((await usageInvoices())[0].total, 1000);

  await upbeat.setClock("2026-04-02T00:00:00Z");
  const march = (await customers.invoices.retrieve({ customer_id, invoice_id: draft.id })).data;
  assert.deepEqual([march.status, march.total], ["FINALIZED", 1000]);
  const drawn = [
    ["2026-03-01", "PREPAID_COMMIT_SEGMENT_START", 1000],
    ["2026-03-01", "PREPAID_COMMIT_MANUAL", 490],
    ["2026-04-01", "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -1490],
  ];
  assert.deepEqual(entries(await seen(id)), drawn);

  await invoices.void({ id: march.id });
  assert.equal(await net(), 1490);
  const again = (await invoices.regenerate({ id: march.id })).data.id;
  assert.deepEqual([await net(), (await seen(id)).ledger.length], [0, 5]);
  const { data } = await customers.invoices.retrieve({ customer_id, invoice_id: again });
  assert.deepEqual([data.status, data.total], ["FINALIZED", 1000]);
});

test("a contract shows what it grants, and bills what was promised and not spent unless told otherwise", async () => {
  const { contracts } = client.v1;
  const customer_id = (await client.v1.customers.create({ name: "Promised" })).data.id;
  const { customer_id: _, ...credit } = grant(90, { name: "Gift" });
  const month = { starting_at: "2026-04-01T00:00:00Z", ending_before: "2026-05-01T00:00:00Z" };
  const promise = {
    ...credit,
    type: "POSTPAID",
    name: "Promise",
    access_schedule: { schedule_items: [{ amount: 200, ...month }] },
    invoice_schedule: { schedule_items: [{ amount: 200, timestamp: "2026-05-01T00:00:00Z" }] },
  };
  const usd = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
  const recurring = {
    product_id: product,
    access_amount: { credit_type_id: usd, unit_price: 40, quantity: 1 },
    commit_duration: { value: 1, unit: "PERIODS" },
    priority: 1,
    starting_at: month.starting_at,
    recurrence_frequency: "MONTHLY",
  };
  const contract_id = (
    await contracts.create({
      customer_id,
      rate_card_id: quickstart.rateCard,
      ...month,
      commits: [promise],
      credits: [credit],
      recurring_credits: [recurring],
    })
  ).data.id;
  const shown = (
    await client.v2.contracts.retrieve({ customer_id, contract_id, include_balance: true, include_ledgers: true })
  ).data;
  const [commit] = shown.commits;
  assert.deepEqual([commit.type, commit.balance, entries(commit)[0][1]], ["POSTPAID", 200, "POSTPAID_COMMIT_INITIAL_BALANCE"]);
  const parents = shown.credits.map(({ recurring_credit_id, balance }) => [recurring_credit_id ?? null, balance]);
  assert.deepEqual(parents.sort(), [[null, 90], [shown.recurring_credits[0].id, 40]].sort());
  const payments = () => all(client.v1.customers.invoices.list({ customer_id, type: "SCHEDULED" }));
  assert.deepEqual((await payments()).map(({ status, total }) => [status, total]), [["DRAFT", 200]]);
  const turnOff = { customer_id, contract_id, commit_id: commit.id };
  await client.post("/v1/contracts/commits/disableTrueup", { body: turnOff });
  assert.deepEqual(await payments(), []);
  await assert.rejects(
    client.post("/v1/contracts/commits/disableTrueup", { body: { ...turnOff, commit_id: randomUUID() } }),
    Metronome.NotFoundError,
  );
});
