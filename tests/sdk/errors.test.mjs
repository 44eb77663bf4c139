// Each refusal reaches the caller as the SDK's own class, with a message that names the cause.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Metronome from "@metronome/sdk";

import { Upbeat, refusal } from "./upbeat.mjs";

let upbeat, client;

before(async () => {
  upbeat = await Upbeat.start("errors.node");
  client = upbeat.client();
  await upbeat.setClock("2026-03-09T15:00:00Z");
});

after(() => upbeat?.stop());

test("a wrong token is an authentication error", async () => {
  const stranger = upbeat.client({ bearerToken: "no-such-token" });
  await assert.rejects(stranger.v1.customers.list(), Metronome.AuthenticationError);
});

test("an unknown customer is not found", async () => {
  await assert.rejects(client.v1.customers.retrieve({ customer_id: randomUUID() }), Metronome.NotFoundError);
});

test("a malformed request is refused by the name of its field", async () => {
  await assert.rejects(
    client.v1.billableMetrics.create({ name: "Sum of what?", aggregation_type: "SUM" }),
    refusal(Metronome.BadRequestError, "aggregation_key"),
  );
});

test("an ingest alias in use is a conflict that is not retried", async () => {
  await client.v1.customers.create({ name: "First", ingest_aliases: ["taken"] });
  const counted = upbeat.countingClient();
  await assert.rejects(
    counted.client.v1.customers.create({ name: "Second", ingest_aliases: ["taken"] }),
    refusal(Metronome.ConflictError, "taken"),
  );
  assert.equal(counted.requests, 1);
});

test("an endpoint that is not built yet says so", async () => {
  // Straight to the server: to the checking proxy any answer from 500 up is a fault.
  const direct = upbeat.client({ baseURL: upbeat.serverURL, maxRetries: 0 });
  await assert.rejects(
    direct.v1.alerts.create({ name: "Spend", alert_type: "spend_threshold_reached", threshold: 100 }),
    (error) => error.status === 501 && refusal(Metronome.InternalServerError, "/v1/alerts/create")(error),
  );
});
