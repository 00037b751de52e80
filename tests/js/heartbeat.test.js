import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./fake_gateway.js";
import { pair } from "./setup.js";

const FAST = { heartbeatInterval: 20, pongTimeout: 30 };

test("a silent link is asked for a sign of life", async (t) => {
  const { gateway, client, downs } = await pair(t, FAST);
  client.connect("token");
  await until(() => gateway.last?.of("ping").length >= 5);
  assert.deepEqual(downs, []);
});

test("a link that carries messages is not pinged", async (t) => {
  const { gateway, client, messages } = await pair(t, { heartbeatInterval: 200 });
  client.connect("token");
  await until(() => client.isConnected());
  const every = setInterval(() => gateway.publish("broadcast", {}), 20);
  t.after(() => clearInterval(every));
  await until(() => messages.length > 25);
  assert.equal(gateway.last.of("ping").length, 0);
});

test("a dead link is noticed, left and replaced, and what was missed arrives", async (t) => {
  const { gateway, client, messages, downs } = await pair(t, FAST);
  client.connect("token");
  await until(() => client.isConnected());
  const dead = gateway.last;
  dead.pongs = false;
  dead.send = () => {};
  gateway.publish("broadcast", { content: "into the void" });
  await until(() => messages.length === 1);
  assert.equal(downs[0].code, 4408);
  assert.equal(gateway.peers.length, 2);
});

test("a pong later than the next beat still counts against its own deadline", async (t) => {
  const { gateway, client, downs } = await pair(t, { heartbeatInterval: 10, pongTimeout: 40 });
  client.connect("token");
  await until(() => client.isConnected());
  gateway.last.pongs = false;
  await until(() => downs.length === 1);
});
