// A contract that renews another takes over what is left of what that one granted.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { LATE_EVENT, USAGE, setUpQuickstart } from "./catalog.mjs";
import { Upbeat, refusal } from "./upbeat.mjs";

let upbeat, client, contracts, quickstart, customer_id, product;

const year = { starting_at: "2026-03-01T00:00:00Z", ending_before: "2027-03-01T00:00:00Z" };

const grant = (name, amount, rollover_fraction, more = {}) => ({
  name,
  product_id: product,
  priority: 1,
  access_schedule: { schedule_items: [{ amount, ...year }] },
  rollover_fraction,
  ...more,
});

const renewing = (from_contract_id, starting_at) => ({
  customer_id,
  rate_card_id: quickstart.rateCard,
  starting_at,
  transition: { type: "RENEWAL", from_contract_id },
});

const whole = async (contract_id) =>
  (await client.v2.contracts.retrieve({ customer_id, contract_id, include_balance: true, include_ledgers: true })).data;

const entries = ({ ledger }) => ledger.map(({ timestamp, type, amount }) => [timestamp.slice(0, 10), type, amount]);

before(async () => {
  upbeat = await Upbeat.start("renewals.node");
  client = upbeat.client();
  ({ contracts } = client.v1);
  await upbeat.setClock("2026-03-09T15:00:00Z");
  quickstart = await setUpQuickstart(client);
  customer_id = quickstart.customer;
  // The quickstart's own contract would bill the same usage.
  await contracts.archive({ customer_id, contract_id: quickstart.contract, void_invoices: true });
  product = (await contracts.products.create({ name: "Commitment", type: "FIXED" })).data.id;
});

after(() => upbeat?.stop());

test("a renewal is refused by name, and takes over what is left, late usage counted", async () => {
  const commit = grant("Paid ahead", 5000, 0.5, { type: "PREPAID" });
  const credit = grant("Gift", 600, 0.25, { priority: 2 });
  const terms = { customer_id, rate_card_id: quickstart.rateCard, starting_at: year.starting_at };
  const old = (await contracts.create({ ...terms, commits: [commit], credits: [credit] })).data.id;
  await client.v1.usage.ingest({ usage: USAGE });

  const good = renewing(old, "2026-04-01T00:00:00Z");
  for (const [field, wrong] of [
    ["starting_at", { starting_at: year.starting_at }],
    ["transition.type", { transition: { ...good.transition, type: "SUPERSEDE" } }],
    ["transition.from_contract_id", { transition: { ...good.transition, from_contract_id: randomUUID() } }],
  ]) {
    await assert.rejects(contracts.create({ ...good, ...wrong }), refusal(Metronome.BadRequestError, field));
  }
  const created = (await contracts.create(good)).data;
  const transitions = [{ type: "RENEWAL", from_contract_id: old, to_contract_id: created.id }];
  assert.deepEqual(created.contract.transitions, transitions);
  const again = contracts.create(renewing(old, "2026-05-01T00:00:00Z"));
  await assert.rejects(again, refusal(Metronome.BadRequestError, "transition.from_contract_id"));
  for (const [contract_id, end] of [[old, "2026-04-01"], [created.id, undefined]]) {
    const { current } = (await contracts.retrieve({ customer_id, contract_id })).data;
    const listed = (await contracts.list({ customer_id })).data.find(({ id }) => id === contract_id).current;
    for (const shown of [current, listed, await whole(contract_id)]) {
      assert.deepEqual([shown.ending_before?.slice(0, 10), shown.transitions], [end, transitions]);
    }
  }

  // March is a draft yet. Its usage costs 2490 of the 5000; of the 2510 left 0.5 x 5000 = 2500 move, and 10 are lost.
  // Of the 600 that nobody drew 0.25 x 600 = 150 move, and 450 are lost.
  await upbeat.setClock("2026-04-01T12:00:00Z");
  const net = async (more = {}) => (await contracts.getNetBalance({ customer_id, ...more })).data.balance;
  assert.equal(await net(), 2650);
  assert.deepEqual(entries((await whole(old)).commits[0]), [
    ["2026-03-01", "PREPAID_COMMIT_SEGMENT_START", 5000],
    ["2026-04-01", "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -2490],
    ["2026-04-01", "PREPAID_COMMIT_ROLLOVER", -2500],
    ["2026-04-01", "PREPAID_COMMIT_EXPIRATION", -10],
  ]);

  // A late event of 999 tokens for 1.5 each leaves 2510 - 1498.5 = 1011.5: less than half, and all of it moves.
  await client.v1.usage.ingest({ usage: [LATE_EVENT] });
  assert.equal(await net(), 1161.5);
  await upbeat.setClock("2026-04-02T00:00:00Z");
  const { commits: [commitSeen], credits: [creditSeen] } = await whole(old);
  assert.deepEqual(entries(commitSeen), [
    ["2026-03-01", "PREPAID_COMMIT_SEGMENT_START", 5000],
    ["2026-04-01", "PREPAID_COMMIT_AUTOMATED_INVOICE_DEDUCTION", -3988.5],
    ["2026-04-01", "PREPAID_COMMIT_ROLLOVER", -1011.5],
  ]);
  assert.deepEqual(entries(creditSeen), [
    ["2026-03-01", "CREDIT_SEGMENT_START", 600],
    ["2026-04-01", "CREDIT_ROLLOVER", -150],
    ["2026-04-01", "CREDIT_EXPIRATION", -450],
  ]);
  for (const { ledger } of [commitSeen, creditSeen]) {
    const { new_contract_id } = ledger.find(({ type }) => type.endsWith("_ROLLOVER"));
    assert.equal(new_contract_id, created.id);
  }

  const { commits: [rolled], credits: [rolledCredit] } = await whole(created.id);
  assert.deepEqual(rolled.rolled_over_from, { commit_id: commitSeen.id, contract_id: old });
  assert.deepEqual(rolledCredit.rolled_over_from, { credit_id: creditSeen.id, contract_id: old });
  assert.deepEqual([rolled.type, rolled.balance], ["PREPAID", 1011.5]);
  assert.deepEqual([rolledCredit.type, rolledCredit.balance], ["CREDIT", 150]);
  assert.deepEqual(entries(rolled), [["2026-04-01", "PREPAID_COMMIT_SEGMENT_START", 1011.5]]);
  assert.deepEqual(entries(rolledCredit), [["2026-04-01", "CREDIT_SEGMENT_START", 150]]);
  assert.deepEqual([await net(), await net({ invoice_inclusion_mode: "FINALIZED" })], [1161.5, 1161.5]);
});
