import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { WebSocket } from "ws";
import DefaultExport, { WebSocketClient } from "../../realtime/static/realtime/client.js";
import { settle } from "../../realtime/static/realtime/client/options.js";
import { until } from "./fake_gateway.js";
import { pair } from "./setup.js";

test("the class is both the default and a named export", () => assert.equal(DefaultExport, WebSocketClient));

test("the original's life of a connection works unchanged", async (t) => {
  const { gateway, client } = await pair(t);
  const calls = [];
  client.onOpen(() => calls.push("open"));
  client.onClose(() => calls.push("close"));
  assert.equal(client.getState(), 3);
  client.connect("token");
  assert.equal(client.getState(), 0);
  await until(() => calls.includes("open"));
  assert.equal(client.getState(), 1);
  assert.equal(client.isConnected(), true);
  client.close();
  assert.equal(client.isConnected(), false);
  assert.equal(client.getState(), 3);
  assert.deepEqual(calls, ["open", "close"]);
  await until(() => gateway.live.length === 0, "the server sees it closed");
});

test("a second onOpen replaces the first", async (t) => {
  const { client } = await pair(t);
  const calls = [];
  client.onOpen(() => calls.push("first"));
  client.onOpen(() => calls.push("second"));
  client.connect("token");
  await until(() => calls.length);
  assert.deepEqual(calls, ["second"]);
});

test("messages go to the handlers of all types, then to those of their own", async (t) => {
  const { gateway, client } = await pair(t);
  const heard = [];
  const onNotification = ({ content }) => heard.push(["notification", content.title]);
  client.on("notification", onNotification);
  client.on("notification", onNotification);
  client.on("*", ({ type }) => type === "notification" && heard.push(["*"]));
  client.connect("token");
  await until(() => client.isConnected());
  gateway.publish("user", { type: "notification", content: { title: "hello" } });
  await until(() => heard.length);
  assert.deepEqual(heard, [["*"], ["notification", "hello"]]);
});

test("off takes away one handler, or all of a type", async (t) => {
  const { gateway, client, messages } = await pair(t);
  const heard = [];
  const first = () => heard.push("first");
  client.on("system", first);
  client.on("system", () => heard.push("second"));
  client.connect("token");
  await until(() => client.isConnected());
  client.off("system", first);
  gateway.publish("broadcast", { type: "system" });
  await until(() => messages.length === 1);
  client.off("system");
  gateway.publish("broadcast", { type: "system" });
  await until(() => messages.length === 2);
  assert.deepEqual(heard, ["second"]);
});

test("a handler that throws stops neither the others nor the connection", async (t) => {
  const { gateway, client, messages } = await pair(t);
  t.mock.method(console, "error", () => {});
  client.on("broadcast", () => {
    throw new Error("mine");
  });
  client.connect("token");
  await until(() => client.isConnected());
  gateway.publish("broadcast", { content: 1 });
  gateway.publish("broadcast", { content: 2 });
  await until(() => messages.length === 2);
  assert.equal(console.error.mock.callCount(), 2);
});

test("rooms and chats are sent as the protocol says", async (t) => {
  const { gateway, client } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  client.joinRoom("chat:room001");
  client.sendToRoom("chat:room001", { text: "hi" });
  client.sendChat("bob", "hello");
  client.sendChat("bob", { image: "/a.png" });
  client.leaveRoom("chat:room001");
  await until(() => gateway.last.of("leave_room").length);
  const sent = gateway.last.received.map(({ id, ...message }) => message);
  assert.deepEqual(sent, [
    { type: "join_room", content: "chat:room001" },
    { type: "room_message", room: "chat:room001", content: { text: "hi" } },
    { type: "chat", to: "bob", content: { text: "hello", media_type: "text" } },
    { type: "chat", to: "bob", content: { image: "/a.png" } },
    { type: "leave_room", content: "chat:room001" },
  ]);
});

test("send without a type is a chat, as in the original", async (t) => {
  const { gateway, client } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  client.send({ to: "bob", content: "x" });
  await until(() => gateway.last.of("chat").length);
});

test("resetAllHandlers takes the handlers of messages, not of states", async (t) => {
  const { gateway, client, messages, states } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  client.resetAllHandlers();
  gateway.publish("broadcast", {});
  await client.request({ type: "ping" });
  client.close();
  assert.deepEqual(messages, []);
  assert.equal(states.at(-1), "closed");
});

test("the types declare every public name, and no other", async () => {
  const types = await readFile(new URL("../../realtime/static/realtime/client.d.ts", import.meta.url), "utf8");
  const [, body] = /export class WebSocketClient {(.*?)\n}/s.exec(types);
  const declared = new Set([...body.matchAll(/^  (?:readonly )?(\w+)[(<:]/gm)].map(([, name]) => name));
  assert.deepEqual([...declared].sort(), Object.getOwnPropertyNames(WebSocketClient.prototype).sort());
  const [, options] = /export interface ClientOptions {(.*?)\n}/s.exec(types);
  const named = [...options.matchAll(/^  (\w+)\?:/gm)].map(([, name]) => name);
  assert.deepEqual(named.sort(), [...Object.keys(settle({ url: "ws://x", WebSocket })), "token"].sort());
});

test("a frame that is not a message is told or ignored", async (t) => {
  const { gateway, client, errors } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  for (const text of ["null", "1", "[]", "{}", '"x"', "not json"]) gateway.last.socket.send(text);
  await until(() => errors.length === 1);
  assert.equal(client.isConnected(), true);
});

test("the url may be relative to the page", () => {
  let dialled;
  class Recording {
    constructor(url) {
      dialled = url;
    }
    close() {}
  }
  const scope = { location: { href: "https://example.org/console/?a=1" } };
  const client = new WebSocketClient({ WebSocket: Recording, scope });
  client.connect();
  return until(() => dialled).then(() => {
    client.close();
    assert.equal(dialled, "wss://example.org/ws");
  });
});

test("without a WebSocket implementation the constructor says what to do", () => {
  assert.throws(() => new WebSocketClient({ url: "ws://x/ws", WebSocket: null }), /options.WebSocket/);
});

test("a URL that cannot be dialled ends the connection and says why", async (t) => {
  const { client, errors } = await pair(t, { WebSocket: class { constructor() { throw new SyntaxError("bad"); } } });
  client.connect("token");
  await until(() => client.state === "closed");
  assert.equal(errors[0].message, "bad");
});
