// Customers after their creation, custom fields, the audit log, services, and repeats under a key.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { Upbeat, all, refusal } from "./upbeat.mjs";

let upbeat, client;

const create = async (more = {}) => (await client.v1.customers.create({ name: "Before", ...more })).data.id;
const retrieve = async (id) => (await client.v1.customers.retrieve({ customer_id: id })).data;

before(async () => {
  upbeat = await Upbeat.start("customers.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
});

after(() => upbeat?.stop());

test("a customer is renamed", async () => {
  const id = await create();
  const renamed = await client.v1.customers.setName({ customer_id: id, name: "After" });
  assert.deepEqual([renamed.data.id, renamed.data.name], [id, "After"]);
  assert.equal((await retrieve(id)).name, "After");
  await assert.rejects(
    client.v1.customers.setName({ customer_id: id, name: "" }),
    refusal(Metronome.BadRequestError, "name"),
  );
  const stranger = randomUUID();
  await assert.rejects(
    client.v1.customers.setName({ customer_id: stranger, name: "Nobody" }),
    refusal(Metronome.NotFoundError, stranger),
  );
});

test("a Salesforce account is set, searched for and cleared", async () => {
  const id = await create();
  const found = async () =>
    (await all(client.v1.customers.list({ salesforce_account_ids: ["sf-1"] }))).map((customer) => customer.id);
  await client.v1.customers.updateConfig({ customer_id: id, salesforce_account_id: "sf-1" });
  assert.deepEqual(await found(), [id]);
  await client.v1.customers.updateConfig({ customer_id: id, leave_stripe_invoices_in_draft: true });
  assert.equal((await retrieve(id)).customer_config.salesforce_account_id, "sf-1");
  await client.v1.customers.updateConfig({ customer_id: id, salesforce_account_id: null });
  assert.deepEqual(await found(), []);
});

test("a customer is set unbillable, for which the SDK has no method", async () => {
  const id = await create();
  const set = (status, effective_at) =>
    client.post("/v1/customers/setBillableStatus", {
      body: { customer_id: id, billable_status: status, effective_at },
    });
  const later = await set("unbillable", "2026-04-01T00:00:00Z");
  assert.deepEqual(later.data, { id, current_billable_status: "billable" });
  const now = await set("unbillable", "2026-03-01T00:00:00Z");
  assert.deepEqual(now.data, { id, current_billable_status: "unbillable" });
  assert.equal((await retrieve(id)).current_billable_status.value, "unbillable");
  await assert.rejects(set("sometimes", "2026-03-01T00:00:00Z"), refusal(Metronome.BadRequestError, "billable_status"));
});

test("custom fields have keys, and values on objects", async () => {
  const { addKey, deleteValues, listKeys, removeKey, setValues } = bound(client.v1.customFields);
  await addKey({ entity: "customer", key: "region", enforce_uniqueness: false });
  await addKey({ entity: "customer", key: "crm_id", enforce_uniqueness: true });
  await addKey({ entity: "rate_card", key: "region", enforce_uniqueness: false });
  assert.deepEqual(await all(listKeys({ entities: ["rate_card", "customer"] })), [
    { entity: "customer", key: "crm_id", enforce_uniqueness: true },
    { entity: "customer", key: "region", enforce_uniqueness: false },
    { entity: "rate_card", key: "region", enforce_uniqueness: false },
  ]);
  await assert.rejects(
    addKey({ entity: "customer", key: "region", enforce_uniqueness: true }),
    refusal(Metronome.ConflictError, "region"),
  );

  const id = await create({ custom_fields: { region: "eu" } });
  const on = { entity: "customer", entity_id: id };
  await setValues({ ...on, custom_fields: { crm_id: "1" } });
  assert.deepEqual((await retrieve(id)).custom_fields, { crm_id: "1", region: "eu" });
  await assert.rejects(create({ custom_fields: { crm_id: "1" } }), refusal(Metronome.ConflictError, "crm_id"));
  await assert.rejects(
    setValues({ ...on, custom_fields: { unheard: "of" } }),
    refusal(Metronome.BadRequestError, "custom_fields.unheard"),
  );
  await deleteValues({ ...on, keys: ["region"] });
  assert.deepEqual((await retrieve(id)).custom_fields, { crm_id: "1" });
  await removeKey({ entity: "customer", key: "crm_id" });
  assert.deepEqual((await retrieve(id)).custom_fields, {});
  await assert.rejects(removeKey({ entity: "customer", key: "crm_id" }), refusal(Metronome.NotFoundError, "crm_id"));
});

test("the audit log is read to its end, and later on from there", async () => {
  let end;
  /** What came since, and moves `end` behind it; the SDK's own paging would never end. */
  const linesAfter = async (cursor) => {
    const lines = [];
    for (;;) {
      const page = await client.v1.auditLogs.list({ limit: 3, next_page: cursor });
      assert.ok(page.hasNextPage(), "there is always a cursor");
      cursor = end = page.next_page;
      if (page.data.length === 0) return lines;
      lines.push(...page.data);
    }
  };
  await linesAfter();
  const ids = [];
  for (let n = 0; n < 4; n++) ids.push(await create());
  await assert.rejects(create({ name: "" }), Metronome.BadRequestError);
  const lines = await linesAfter(end);
  assert.deepEqual(
    lines.map(({ action, resource_type, status }) => [action, resource_type, status]),
    [...ids.map(() => ["create", "customer", "success"]), ["create", "customer", "failure"]],
  );
  assert.deepEqual(
    lines.slice(0, 4).map((line) => line.resource_id),
    ids,
  );
  assert.ok(lines[0].request.user_agent.startsWith("Metronome/JS"), lines[0].request.user_agent);
  assert.deepEqual(await linesAfter(end), []);
  await client.v1.customers.archive({ id: ids[0] });
  assert.deepEqual(
    (await linesAfter(end)).map((line) => line.action),
    ["archive"],
  );
  await assert.rejects(
    client.v1.auditLogs.list({ resource_type: "customer" }),
    refusal(Metronome.BadRequestError, "resource_id"),
  );
});

test("the services are listed", async () => {
  const { services } = await client.v1.services.list();
  assert.deepEqual(
    services.map(({ name, usage, ips }) => [name, usage, ips]),
    [
      ["api", "accepts_connections_at", []],
      ["ingest", "accepts_connections_at", []],
      ["webhooks", "makes_connections_from", []],
    ],
  );
});

test("a repeat under a key gets the first answer, and other parameters one refusal", async () => {
  const headers = { "Idempotency-Key": randomUUID() };
  const body = { name: "Once", ingest_aliases: ["once"] };
  const first = await client.v1.customers.create(body, { headers });
  const { data: repeat, response } = await client.v1.customers.create(body, { headers }).withResponse();
  assert.deepEqual(repeat, first);
  assert.equal(response.headers.get("idempotency-replayed"), "true");
  assert.equal((await all(client.v1.customers.list({ ingest_alias: "once" }))).length, 1);

  const counted = upbeat.countingClient();
  await assert.rejects(
    counted.client.v1.customers.create({ name: "Twice" }, { headers }),
    refusal(Metronome.ConflictError, "Idempotency-Key"),
  );
  assert.equal(counted.requests, 1);
});

/** Its methods, to be called without it. */
function bound(resource) {
  return new Proxy(resource, { get: (target, name) => target[name].bind(target) });
}
