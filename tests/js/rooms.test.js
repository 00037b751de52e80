import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./fake_gateway.js";
import { numbers, pair } from "./setup.js";

async function joined(t, room = "chat:1") {
  const made = await pair(t);
  made.client.connect("token");
  const result = await made.client.joinRoom(room);
  return { ...made, result };
}

test("joining resolves with the room and its position", async (t) => {
  const { result } = await joined(t);
  assert.deepEqual(result, { room: "chat:1", stream: { name: "room:chat:1", epoch: "e1", offset: 0 } });
});

test("a room is resumed after a reconnect, with what was said meanwhile", async (t) => {
  const { gateway, client, messages } = await joined(t);
  gateway.cut();
  gateway.publish("room:chat:1", { type: "room_message", room: "chat:1", content: 1 });
  await until(() => messages.length === 1);
  client.sendToRoom("chat:1", 2);
  await until(() => messages.length === 2);
  assert.deepEqual(numbers(messages), [1, 2]);
  assert.equal(gateway.last.of("join_room").length, 0);
});

test("rooms of a server without positions are joined again", async (t) => {
  const { gateway, client } = await pair(t);
  gateway.script.join_room = (peer, message) => gateway.ack(peer, message, { room: message.content });
  client.connect("token");
  await client.joinRoom("a");
  await client.joinRoom("b");
  gateway.cut();
  await until(() => gateway.peers.length === 2 && gateway.last.of("join_room").length === 2);
  assert.deepEqual(gateway.last.of("join_room").map(({ content }) => content), ["a", "b"]);
});

test("a room wanted before there is a link is joined once, before what is sent to it", async (t) => {
  const { gateway, client } = await pair(t);
  const joining = client.joinRoom("chat:1");
  client.sendToRoom("chat:1", "hi");
  client.connect("token");
  await joining;
  await until(() => gateway.last.of("room_message").length);
  assert.deepEqual(gateway.last.received.map(({ type }) => type), ["join_room", "room_message"]);
});

test("a room joined with send() comes back as well", async (t) => {
  const { gateway, client } = await pair(t);
  client.connect("token");
  client.send({ type: "join_room", content: "chat:1" });
  await until(() => gateway.last?.rooms.has("chat:1"));
  gateway.cut();
  await until(() => gateway.peers.length === 2 && gateway.last.rooms.has("chat:1"));
});

test("a room left stays left, and its late messages change nothing", async (t) => {
  const { gateway, client } = await joined(t);
  const peer = gateway.last;
  const late = gateway.publish("room:chat:1", { type: "room_message", room: "chat:1", content: 1 }, { lose: true });
  await client.leaveRoom("chat:1");
  peer.send(late);
  await client.request({ type: "ping" });
  gateway.cut();
  await until(() => gateway.peers.length === 2 && client.isConnected());
  assert.deepEqual(client.rooms, []);
  assert.deepEqual(Object.keys(gateway.last.of("resume")[0].content.streams).sort(), ["broadcast", "user"]);
});

test("a refused join is told and not tried again", async (t) => {
  const { gateway, client } = await pair(t);
  gateway.script.join_room = (peer, message) => gateway.refuse(peer, message, 403);
  client.connect("token");
  await assert.rejects(client.joinRoom("secret"), { code: 403 });
  assert.deepEqual(client.rooms, []);
  gateway.cut();
  await until(() => gateway.peers.length === 2 && client.isConnected());
  assert.equal(gateway.last.of("join_room").length, 0);
});

test("a join that was too fast is kept for the next connection", async (t) => {
  const { gateway, client } = await pair(t);
  gateway.script.join_room = (peer, message) => gateway.refuse(peer, message, 429);
  client.connect("token");
  await assert.rejects(client.joinRoom("chat:1"), { code: 429 });
  gateway.script = {};
  gateway.cut();
  await until(() => gateway.peers.length === 2 && gateway.last.rooms.has("chat:1"));
});

test("a room that a resume refuses is a gap with its error, and forgotten", async (t) => {
  const { gateway, client, gaps } = await joined(t, "secret");
  const error = { code: 403, message: "not allowed" };
  gateway.script.resume = (peer, { id, content }) => {
    const { broadcast, user } = content.streams;
    const fine = { recovered: true, count: 0 };
    const streams = { broadcast: { ...fine, ...broadcast }, user: { ...fine, ...user }, "room:secret": { recovered: false, count: 0, error } };
    peer.send({ type: "resumed", id, content: { streams } });
  };
  gateway.cut();
  await until(() => gaps.length === 1 && client.isConnected());
  assert.deepEqual(gaps, [{ stream: "room:secret", recovered: false, error }]);
  assert.deepEqual(client.rooms, []);
});

test("a room that cannot be resumed now is a gap, and joined again", async (t) => {
  const { gateway, client, gaps } = await joined(t);
  const error = { code: 503, message: "try again later" };
  gateway.script.resume = (peer, { id, content }) => {
    const streams = Object.fromEntries(Object.keys(content.streams).map((name) => [name, { recovered: false, count: 0, error }]));
    peer.send({ type: "resumed", id, content: { streams } });
  };
  gateway.cut();
  await until(() => gaps.length === 3 && gateway.last.rooms.has("chat:1"));
  assert.deepEqual(client.rooms, ["chat:1"]);
});

test("close() forgets the rooms", async (t) => {
  const { gateway, client } = await joined(t);
  client.close();
  client.connect("token");
  await until(() => gateway.peers.length === 2 && client.isConnected());
  assert.deepEqual(gateway.last.received, []);
});
