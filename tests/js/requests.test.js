import assert from "node:assert/strict";
import { test } from "node:test";
import { GatewayError } from "../../realtime/static/realtime/client.js";
import { until } from "./fake_gateway.js";
import { pair } from "./setup.js";

async function open(t, options) {
  const made = await pair(t, options);
  made.client.connect("token");
  await until(() => made.client.isConnected());
  return made;
}

test("a request resolves with the content of its ack", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.chat = (peer, message) => gateway.ack(peer, message, { delivered: 2 });
  assert.deepEqual(await client.request({ type: "chat", to: "bob", content: "x" }), { delivered: 2 });
});

test("a request is rejected with the server's error", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.chat = (peer, message) => gateway.refuse(peer, message, 422, "no such user");
  const error = await client.request({ to: "bob" }).catch((reason) => reason);
  assert.ok(error instanceof GatewayError);
  assert.deepEqual([error.code, error.message, error.name], [422, "no such user", "GatewayError"]);
});

test("a request without an answer is rejected after its timeout", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.chat = () => {};
  await assert.rejects(client.request({ to: "bob" }, { timeout: 20 }), { code: 408 });
});

test("a rejection nobody waits for is no unhandled rejection", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.join_room = (peer, message) => gateway.refuse(peer, message, 403);
  client.joinRoom("secret");
  await until(() => client.rooms.length === 0);
  await new Promise(setImmediate);
});

test("a ping can be a request", async (t) => {
  const { client } = await open(t);
  assert.equal(await client.request({ type: "ping" }), null);
});

test("an id of one's own is kept", async (t) => {
  const { gateway, client } = await open(t);
  await client.request({ type: "chat", id: "mine", to: "bob" });
  assert.equal(gateway.last.of("chat")[0].id, "mine");
});

test("answers that belong to nobody are ignored", async (t) => {
  const { gateway, client } = await open(t);
  gateway.last.send({ type: "ack", id: "stranger", content: {} });
  gateway.last.send({ type: "error", content: { code: 400, message: "x" } });
  await client.request({ type: "ping" });
});

test("messages sent while there is no link wait, in order", async (t) => {
  const { gateway, client } = await open(t);
  await gateway.stop();
  await until(() => !client.isConnected());
  for (const content of [1, 2, 3]) assert.equal(client.send({ type: "room_message", room: "r", content }), true);
  assert.equal(client.queued, 3);
  await gateway.restart();
  await until(() => gateway.last.of("room_message").length === 3);
  assert.deepEqual(gateway.last.of("room_message").map(({ content }) => content), [1, 2, 3]);
  assert.equal(client.queued, 0);
});

test("messages before connect() wait too", async (t) => {
  const { gateway, client } = await pair(t);
  client.sendChat("bob", "early");
  client.connect("token");
  await until(() => gateway.last?.of("chat").length === 1);
});

test("the queue is bounded, and says so", async (t) => {
  const { client } = await pair(t, { queueSize: 2 });
  assert.deepEqual([1, 2, 3].map((content) => client.sendChat("bob", content)), [true, true, false]);
  await assert.rejects(client.request({ to: "bob" }), { code: 429 });
  assert.equal(client.queued, 2);
});

test("a request that timed out in the queue is not sent later", async (t) => {
  const { gateway, client } = await pair(t);
  await assert.rejects(client.request({ to: "bob" }, { timeout: 10 }), { code: 408 });
  assert.equal(client.queued, 0);
  client.connect("token");
  await until(() => client.isConnected());
  await client.request({ type: "ping" });
  assert.equal(gateway.last.of("chat").length, 0);
});

test("a request cut off before its ack is sent again with the same id", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.chat = (peer) => {
    gateway.script = {};
    peer.socket.terminate();
  };
  await client.request({ type: "chat", to: "bob" });
  const [first, second] = gateway.peers.map((peer) => peer.of("chat")[0].id);
  assert.equal(first, second);
});

test("a request of one's own type is not repeated but rejected", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.order = (peer) => peer.socket.terminate();
  await assert.rejects(client.request({ type: "order" }), { code: 503 });
});

test("close() rejects what waits", async (t) => {
  const { gateway, client } = await open(t);
  gateway.script.chat = () => {};
  const waiting = client.request({ to: "bob" });
  client.close();
  await assert.rejects(waiting, { code: 503 });
  await assert.rejects(client.request({ to: "bob" }), { code: 503 });
});

test("a message over the server's limit is refused here, counted in bytes", async (t) => {
  const { client } = await open(t, { maxMessageBytes: 100 });
  assert.equal(client.sendChat("bob", "x".repeat(20)), true);
  assert.equal(client.sendChat("bob", "中".repeat(20)), false);
  await assert.rejects(client.request({ to: "bob", content: "x".repeat(200) }), { code: 413 });
});

test("nothing is sent before recovery is done", async (t) => {
  const { gateway, client } = await open(t);
  gateway.cut();
  await until(() => !client.isConnected());
  client.sendChat("bob", "after");
  await until(() => gateway.last.of("chat").length === 1);
  assert.deepEqual(gateway.last.received.map(({ type }) => type), ["resume", "chat"]);
});
