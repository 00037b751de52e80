import assert from "node:assert/strict";
import { test } from "node:test";
import { hint, jitter } from "../../realtime/static/realtime/client/backoff.js";
import { jwt, until } from "./fake_gateway.js";
import { pair } from "./setup.js";

test("the token travels as a subprotocol and nowhere else", async (t) => {
  const { gateway, client } = await pair(t);
  const token = jwt();
  client.connect(token);
  await until(() => client.isConnected());
  assert.equal(gateway.last.token, token);
  assert.equal(gateway.last.url.search, "");
});

test("the backoff is full jitter, doubling up to its cap", (t) => {
  t.mock.method(Math, "random", () => 0.5);
  const delays = [0, 1, 2, 3, 10, 5000].map((attempt) => jitter(attempt, 1000, 30_000));
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 15_000, 15_000]);
});

test("a server's hint is read from the close reason, within bounds", () => {
  assert.equal(hint("retry_after_ms=1500"), 1500);
  assert.equal(hint("restarting; retry_after_ms=20"), 20);
  assert.equal(hint("retry_after_ms=99999999999"), 600_000);
  assert.equal(hint(""), 0);
  assert.equal(hint(undefined), 0);
});

test("it does not give up while the server is away, and comes back by itself", async (t) => {
  const { gateway, client, downs } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  await gateway.stop();
  await until(() => downs.length > 15, "fifteen attempts");
  await gateway.restart();
  await until(() => client.isConnected());
});

test("maxReconnectAttempts is obeyed when given", async (t) => {
  const { gateway, client, downs } = await pair(t, { maxReconnectAttempts: 3 });
  client.connect("token");
  await until(() => client.isConnected());
  await gateway.stop();
  await until(() => client.state === "closed");
  assert.equal(downs.length, 4);
  await gateway.restart();
});

test("links that break at once do not start the backoff over", async (t) => {
  const { gateway, client, downs } = await pair(t, { reconnectInterval: 1, maxReconnectInterval: 1000 });
  t.mock.method(Math, "random", () => 0.999);
  client.on("welcome", () => gateway.cut());
  client.connect("token");
  await until(() => downs.length === 6);
  const delays = downs.map(({ delay }) => Math.round(delay));
  assert.deepEqual(delays, [1, 2, 4, 8, 16, 32]);
});

test("states are told in order", async (t) => {
  const { gateway, client, states } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  gateway.cut();
  await until(() => states.length === 5);
  client.close();
  assert.deepEqual(states, ["connecting", "open", "waiting", "connecting", "open", "closed"]);
});

test("a server that accepts and says nothing is left for another attempt", async (t) => {
  const { gateway, client } = await pair(t, { connectTimeout: 30 });
  gateway.onConnect = () => {};
  client.connect("token");
  await until(() => gateway.peers.length === 2);
  gateway.onConnect = null;
  await until(() => client.isConnected());
});

test("close() during every phase leaves nothing behind", async (t) => {
  const { gateway, client, states } = await pair(t, { reconnectInterval: 30, maxReconnectInterval: 30 });
  t.mock.method(Math, "random", () => 0.9);
  client.connect("token");
  client.close();
  assert.equal(client.state, "closed");
  client.connect("token");
  await until(() => client.isConnected());
  gateway.cut();
  await until(() => client.state === "waiting");
  client.close();
  const before = states.length;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(states.length, before);
  assert.equal(gateway.live.length, 0);
});

test("closing inside a callback is safe", async (t) => {
  const { gateway, client, states } = await pair(t);
  client.onState((state) => state === "waiting" && client.close());
  client.connect("token");
  await until(() => client.isConnected());
  gateway.cut();
  await until(() => client.state === "closed");
  await new Promise((resolve) => setTimeout(resolve, 40));
  assert.deepEqual(states.slice(-2), ["waiting", "closed"]);
});
