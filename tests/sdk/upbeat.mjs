// A server of its own for each test file, started and stopped by upbeat.py, which says how.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import Metronome from "@metronome/sdk";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.UPBEAT_SDK_PYTHON ?? here("../../target/sdk/venv/bin/python");

export class Upbeat {
  static async start(name) {
    const keeper = spawn(PYTHON, [here("upbeat.py"), name], { stdio: ["pipe", "pipe", "inherit"] });
    const exit = once(keeper, "exit").then(([code]) => code);
    const line = once(createInterface(keeper.stdout), "line").then(([line]) => line);
    const ready = await Promise.race([line, exit]);
    assert.equal(typeof ready, "string", `upbeat did not start (exit code ${ready})`);
    return new Upbeat(JSON.parse(ready), keeper, exit);
  }

  constructor({ base_url, server_url, token }, keeper, exit) {
    Object.assign(this, { baseURL: base_url, serverURL: server_url, token, keeper, exit });
  }

  /** Ends the server; fails when it did not stop cleanly or answered against the published document. */
  async stop() {
    this.keeper.stdin.end();
    assert.equal(await this.exit, 0, "upbeat did not end well: see above");
  }

  client(options = {}) {
    return new Metronome({ bearerToken: this.token, baseURL: this.baseURL, ...options });
  }

  /** A client with the SDK's usual retries, and the number of the requests that it has sent, every retry included. */
  countingClient(options = {}) {
    const counted = { requests: 0 };
    counted.client = this.client({
      ...options,
      fetch: (...request) => {
        counted.requests += 1;
        return fetch(...request);
      },
    });
    return counted;
  }

  /** Freezes the sandbox clock at `now`; whatever falls due on the way is done when this resolves. */
  async setClock(now) {
    const response = await fetch(`${this.serverURL}/sandbox/clock`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: JSON.stringify({ now }),
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const { data } = JSON.parse(text);
    assert.equal(data.frozen, true);
    assert.equal(Date.parse(data.now), Date.parse(now));
  }
}

/** Everything that an auto-paginated list yields. */
export async function all(list) {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
}

/** Checks the class of a refusal, and a word that its message must hold. */
export const refusal = (kind, word) => (error) => {
  assert.ok(error instanceof kind, `${error} is not a ${kind.name}`);
  assert.ok(error.message.includes(word), `'${error.message}' does not name ${word}`);
  return true;
};
