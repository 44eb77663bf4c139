// Packages and contracts of them, pricing units, named schedules.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { Upbeat, all, refusal } from "./upbeat.mjs";

let upbeat, client;

before(async () => {
  upbeat = await Upbeat.start("packages.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
});

after(() => upbeat?.stop());

test("a contract takes the terms of its package over", async () => {
  const { packages, contracts } = client.v1;
  const product = (await contracts.products.create({ name: "Fee", type: "FIXED" })).data.id;
  const item = { unit_price: 1000, quantity: 2, date_offset: { value: 1, unit: "MONTHS" } };
  const { data: made } = await packages.create({
    name: "Starter 2026",
    contract_name: "Starter",
    aliases: [{ name: "starter" }],
    duration: { value: 1, unit: "YEARS" },
    scheduled_charges: [{ product_id: product, schedule: { schedule_items: [item] } }],
  });
  const shown = (await packages.retrieve({ package_id: made.id })).data;
  assert.deepEqual([shown.name, shown.aliases[0].name], ["Starter 2026", "starter"]);
  assert.deepEqual(shown.duration, { value: 1, unit: "YEARS" });
  assert.deepEqual(shown.scheduled_charges[0].schedule.schedule_items[0].date_offset, item.date_offset);
  const customer = (await client.v1.customers.create({ name: "Signed" })).data.id;
  const start = { customer_id: customer, starting_at: "2026-01-31T00:00:00Z" };
  const contract = (await contracts.create({ ...start, package_alias: "starter" })).data.id;
  const whole = (await client.v2.contracts.retrieve({ customer_id: customer, contract_id: contract })).data;
  assert.deepEqual(
    [whole.name, whole.package_id, whole.ending_before],
    ["Starter", made.id, "2027-01-31T00:00:00Z"],
  );
  assert.equal(whole.scheduled_charges[0].schedule.schedule_items[0].timestamp, "2026-02-28T00:00:00Z");
  const rows = await all(packages.listContractsOnPackage({ package_id: made.id }));
  assert.deepEqual(rows.map((row) => row.contract_id), [contract]);
  await assert.rejects(
    contracts.create({ ...start, package_id: made.id, name: "Mine" }),
    refusal(Metronome.BadRequestError, "name: cannot stand beside a package"),
  );
  await packages.archive({ package_id: made.id });
  assert.deepEqual((await all(packages.list())).map((row) => row.id), []);
  assert.deepEqual((await all(packages.list({ archive_filter: "ALL" }))).map((row) => row.id), [made.id]);
});

test("a contract has the commits and credits of its package", async () => {
  const { packages, contracts } = client.v1;
  const product_id = (await contracts.products.create({ name: "Grant", type: "FIXED" })).data.id;
  const months = (value) => ({ value, unit: "MONTHS" });
  const credit_type_id = "2714e483-4ff1-48e4-9e25-ac732e8f24f2";
  const { data: made } = await packages.create({
    name: "Granting",
    duration: months(12),
    commits: [{
      type: "PREPAID",
      product_id,
      access_schedule: { schedule_items: [{ amount: 600, starting_at_offset: months(0), duration: months(18) }] },
      invoice_schedule: { schedule_items: [{ unit_price: 500, quantity: 1, date_offset: months(1) }] },
    }],
    recurring_credits: [{
      product_id,
      priority: 1,
      access_amount: { unit_price: 1000, credit_type_id },
      commit_duration: { value: 1 },
      starting_at_offset: months(0),
      duration: months(3),
    }],
  });
  const shown = (await packages.retrieve({ package_id: made.id })).data;
  assert.deepEqual(shown.commits[0].access_schedule.schedule_items[0].duration, months(18));
  assert.equal(shown.recurring_credits[0].access_amount.quantity, 1);
  const customer_id = (await client.v1.customers.create({ name: "Granted" })).data.id;
  const start = { customer_id, starting_at: "2026-01-01T00:00:00Z", package_id: made.id };
  const contract_id = (await contracts.create(start)).data.id;
  const whole = (await client.v2.contracts.retrieve({ customer_id, contract_id })).data;
  const [item] = whole.commits[0].access_schedule.schedule_items;
  // Cut where the contract ends.
  assert.deepEqual([item.amount, item.ending_before], [600, "2027-01-01T00:00:00Z"]);
  assert.equal(whole.commits[0].invoice_schedule.schedule_items[0].timestamp, "2026-02-01T00:00:00Z");
  assert.equal(whole.credits.length, 3);
  assert.equal(whole.recurring_credits[0].ending_before, "2026-04-01T00:00:00Z");
});

test("a pricing unit is made, listed and archived", async () => {
  const units = client.v1.pricingUnits ?? client.v1.pricing_units;
  const body = { name: "AI credits" };
  const { data: made } = units.create ? await units.create(body) : await client.post("/v1/credit-types/create", { body });
  const listed = async () => (await all(units.list({ limit: 6 }))).filter((unit) => !unit.is_currency);
  assert.deepEqual(await listed(), [{ id: made.id, name: "AI credits", is_currency: false }]);
  await client.post("/v1/credit-types/archive", { body: { id: made.id } });
  assert.deepEqual(await listed(), []);
});

test("a schedule of a customer changes over time", async () => {
  const customer_id = (await client.v1.customers.create({ name: "Scheduled" })).data.id;
  const { namedSchedules } = client.v1.customers;
  const where = { customer_id, schedule_name: "limits" };
  await namedSchedules.update({ ...where, starting_at: "2026-01-01T00:00:00Z", value: { calls: 600 } });
  await namedSchedules.update({ ...where, starting_at: "2026-02-01T00:00:00Z", value: null });
  assert.deepEqual((await namedSchedules.retrieve(where)).data, [
    { value: { calls: 600 }, starting_at: "2026-01-01T00:00:00Z", ending_before: "2026-02-01T00:00:00Z" },
    { value: null, starting_at: "2026-02-01T00:00:00Z" },
  ]);
  await assert.rejects(
    namedSchedules.retrieve({ ...where, customer_id: randomUUID() }),
    refusal(Metronome.NotFoundError, "customer"),
  );
});
