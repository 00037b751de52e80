import assert from "node:assert/strict";
import { test } from "node:test";
import { jwt, until } from "./fake_gateway.js";
import { numbers, pair } from "./setup.js";

async function open(t, options) {
  const made = await pair(t, options);
  made.client.connect("token");
  await until(() => made.client.isConnected());
  return made;
}

const span = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

test("what was published while the link was down arrives once and in order", async (t) => {
  const { gateway, client, messages } = await open(t);
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  gateway.cut();
  for (const content of [2, 3, 4]) gateway.publish("broadcast", { content });
  await until(() => messages.length === 4);
  gateway.publish("broadcast", { content: 5 });
  await until(() => messages.length === 5);
  assert.deepEqual(numbers(messages), [1, 2, 3, 4, 5]);
  assert.equal(gateway.last.url.searchParams.get("resume"), "1");
  assert.deepEqual(gateway.last.of("resume")[0].content.streams.broadcast, { epoch: "e1", offset: 1 });
  assert.ok(client.isConnected());
});

test("a link that breaks during the replay is resumed from the last message that came", async (t) => {
  const { gateway, messages, gaps } = await open(t);
  gateway.cut();
  for (const content of span(1, 20)) gateway.publish("broadcast", { content });
  let first = true;
  gateway.script.resume = (peer, message) => {
    const send = peer.send.bind(peer);
    let left = 8;
    peer.send = (frame) => (!first || left-- > 0 ? send(frame) : peer.socket.terminate());
    gateway.on_resume(peer, message);
    first = false;
  };
  await until(() => messages.length >= 20);
  assert.deepEqual(numbers(messages), span(1, 20));
  assert.deepEqual(gaps, []);
});

test("live messages that overtake the replay are shown in their place", async (t) => {
  const { gateway, messages } = await open(t);
  gateway.cut();
  for (const content of [1, 2, 3]) gateway.publish("broadcast", { content });
  gateway.script.resume = (peer, message) => {
    const early = gateway.publish("broadcast", { content: 4 }, { lose: true });
    peer.send(early);
    gateway.on_resume(peer, message);
    gateway.script = {};
  };
  await until(() => messages.length === 4);
  assert.deepEqual(numbers(messages), [1, 2, 3, 4]);
});

test("a live message that comes before a replay that does not reach it is not lost", async (t) => {
  const { gateway, messages } = await open(t);
  gateway.cut();
  for (const content of [1, 2, 3]) gateway.publish("broadcast", { content });
  gateway.script.resume = (peer, { id }) => {
    const { offset } = gateway.stream("broadcast");
    const missed = [...gateway.stream("broadcast").history];
    peer.send(gateway.publish("broadcast", { content: 4 }, { lose: true }));
    const streams = { broadcast: { recovered: true, count: 3, epoch: "e1", offset }, user: { recovered: true, count: 0, epoch: "e1", offset: 0 } };
    peer.send({ type: "resumed", id, content: { streams } });
    for (const message of missed) peer.send(message);
    gateway.script = {};
  };
  await until(() => messages.length === 4);
  assert.deepEqual(numbers(messages), [1, 2, 3, 4]);
});

test("a message lost on a live link is noticed by its position and recovered before later ones are shown", async (t) => {
  const { gateway, messages, gaps, downs } = await open(t);
  gateway.publish("broadcast", { content: 1 });
  gateway.publish("broadcast", { content: 2 }, { lose: true });
  gateway.publish("broadcast", { content: 3 }, { lose: true });
  gateway.publish("broadcast", { content: 4 });
  gateway.publish("broadcast", { content: 5 });
  await until(() => messages.length === 5);
  assert.deepEqual(numbers(messages), [1, 2, 3, 4, 5]);
  assert.deepEqual(gaps, []);
  assert.equal(downs.length, 1);
});

test("a stream whose offsets skip by themselves costs one reconnect, not one each time", async (t) => {
  const { gateway, client, messages, gaps, downs } = await open(t);
  const offsets = gateway.stream("broadcast");
  const publish = (content) => {
    offsets.offset += 1;
    gateway.publish("broadcast", { content });
  };
  gateway.script.resume = (peer, { id, content }) => {
    const missed = offsets.history.filter(({ data }) => data.stream.offset > content.streams.broadcast.offset);
    const broadcast = { recovered: true, count: missed.length, ...gateway.position("broadcast") };
    peer.send({ type: "resumed", id, content: { streams: { broadcast, user: { recovered: true, count: 0, epoch: "e1", offset: 0 } } } });
    for (const message of missed) peer.send(message);
  };
  publish(1);
  await until(() => messages.length === 1 && client.isConnected());
  for (const content of [2, 3, 4]) publish(content);
  await until(() => messages.length === 4);
  assert.deepEqual(numbers(messages), [1, 2, 3, 4]);
  assert.deepEqual([downs.length, gaps], [1, []]);
});

test("a loss the gateway itself tells of on a live link is a gap", async (t) => {
  const { gateway, messages, gaps, downs } = await open(t);
  gateway.stream("broadcast").offset = 40;
  const streams = { broadcast: { recovered: false, count: 0, ...gateway.position("broadcast") } };
  gateway.last.send({ type: "resumed", content: { streams } });
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  assert.deepEqual(gaps, [{ stream: "broadcast", recovered: false }]);
  assert.deepEqual(downs, []);
});

test("history that is gone is told as a gap, and the stream goes on", async (t) => {
  const { gateway, client, messages, gaps } = await open(t);
  gateway.cut();
  for (const content of span(1, 5)) gateway.publish("broadcast", { content });
  gateway.stream("broadcast").history.splice(0, 3);
  await until(() => client.isConnected() && gaps.length);
  gateway.publish("broadcast", { content: 6 });
  await until(() => messages.length === 1);
  assert.deepEqual(gaps, [{ stream: "broadcast", recovered: false }]);
  assert.deepEqual(numbers(messages), [6]);
});

test("a new epoch is told as a gap, on a resume and on a live link", async (t) => {
  const { gateway, client, messages, gaps } = await open(t);
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  gateway.epoch = "e2";
  gateway.publish("broadcast", { content: 2 });
  await until(() => messages.length === 2);
  assert.deepEqual(gaps, [{ stream: "broadcast", recovered: false }]);
  gateway.epoch = "e3";
  gateway.cut();
  await until(() => client.isConnected() && gaps.length === 3);
  assert.deepEqual(gaps.slice(1).map(({ stream }) => stream).sort(), ["broadcast", "user"]);
});

test("a server without resume makes every stream a gap, and the client lives on with the positions of the welcome", async (t) => {
  const { gateway, client, messages, gaps } = await open(t);
  gateway.script.resume = (peer, message) => gateway.refuse(peer, message, 400);
  gateway.cut();
  await until(() => client.isConnected() && gaps.length === 2);
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  assert.equal(gateway.last.of("resume").length, 1);
});

test("a resume the server cannot answer now is tried again", async (t) => {
  const { gateway, messages, gaps } = await open(t);
  let left = 2;
  gateway.script.resume = (peer, message) => (left-- > 0 ? gateway.refuse(peer, message, 503) : gateway.on_resume(peer, message));
  gateway.cut();
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  assert.deepEqual(gaps, []);
});

test("a resume that is never answered costs the link, not the messages", async (t) => {
  const { gateway, messages } = await open(t, { requestTimeout: 30 });
  gateway.script.resume = () => {
    gateway.script = {};
  };
  gateway.cut();
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
});

test("a service's id is shown once on each stream", async (t) => {
  const { gateway, messages } = await open(t);
  gateway.publish("user", { id: "m1", content: 1 });
  gateway.publish("user", { id: "m1", content: 2 });
  gateway.publish("broadcast", { id: "m1", content: 3 });
  gateway.publish("user", { content: 4 });
  await until(() => messages.length === 3);
  assert.deepEqual(numbers(messages), [1, 3, 4]);
});

test("senders that count their ids from 1 on each connection lose nothing", async (t) => {
  const { gateway, messages } = await open(t);
  gateway.publish("user", { id: 1, from: "bob", content: 1 });
  gateway.publish("user", { id: 1, from: "carol", content: 2 });
  gateway.publish("user", { id: 1, from: "bob", content: 3 });
  await until(() => messages.length === 3);
});

test("a position seen already is not shown again, whatever its id", async (t) => {
  const { gateway, client, messages } = await open(t);
  const first = gateway.publish("user", { id: 1, from: "bob", content: 1 });
  gateway.last.send({ ...first, id: 2 });
  await client.request({ type: "ping" });
  assert.deepEqual(numbers(messages), [1]);
});

test("a stored message without a position is not shown again after the replay held it", async (t) => {
  const { gateway, client } = await open(t);
  const heard = [];
  client.on("notification", ({ content }) => heard.push(content));
  gateway.publish("user", { type: "notification", id: "n1", content: 1 });
  gateway.last.send({ type: "notification", id: "n1", content: 1 });
  gateway.last.send({ type: "notification", id: "n2", content: 2 });
  await until(() => heard.length === 2);
  assert.deepEqual(heard, [1, 2]);
});

test("another user's token starts from that user's positions", async (t) => {
  const { gateway, client, messages, gaps } = await open(t);
  for (const content of span(1, 3)) gateway.publish("user", { content });
  await until(() => messages.length === 3);
  gateway.last.close(4401, "logged out");
  await until(() => client.state === "closed");
  gateway.user = "bob";
  gateway.streams.clear();
  client.connect("bobs");
  await until(() => client.isConnected());
  gateway.publish("user", { content: "for bob" });
  await until(() => messages.length === 4);
  assert.deepEqual(gaps, []);
});

test("another user's token in the same client takes no rooms and no waiting messages along", async (t) => {
  const { gateway, client } = await pair(t);
  let user = "alice";
  client.connect(() => jwt({ user_id: user }));
  await client.joinRoom("alices");
  gateway.user = user = "bob";
  gateway.cut();
  await until(() => !client.isConnected());
  client.sendChat("carol", "from alice");
  await until(() => client.isConnected());
  await client.request({ type: "ping" });
  assert.deepEqual(gateway.last.received.map(({ type }) => type), ["resume", "ping"]);
  assert.deepEqual(gateway.last.of("resume")[0].content.streams, {});
  assert.deepEqual(client.rooms, []);
});

test("thirty random cuts under a stream of messages lose, double and reorder nothing", async (t) => {
  const { gateway, messages, gaps } = await open(t);
  for (const content of span(1, 3000)) {
    gateway.publish(content % 3 ? "broadcast" : "user", { content, id: `m${content}` }, { lose: content % 211 === 0 });
    if (content % 100 === 0) gateway.cut();
    if (content % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  gateway.publish("broadcast", { content: "end" });
  gateway.publish("user", { content: "end" });
  await until(() => messages.length >= 3002, "all messages");
  const seen = numbers(messages).filter((content) => content !== "end");
  assert.deepEqual(seen.filter((n) => n % 3), span(1, 3000).filter((n) => n % 3));
  assert.deepEqual(seen.filter((n) => n % 3 === 0), span(1, 3000).filter((n) => n % 3 === 0));
  assert.deepEqual(gaps, []);
});
