import assert from "node:assert/strict";
import { test } from "node:test";
import { BroadcastChannel } from "node:worker_threads";
import { FakeGateway, jwt, until } from "./fake_gateway.js";
import { build, numbers } from "./setup.js";

/** Web Locks of one browser: exclusive, first come first served; `crash(tab)` frees what a tab held or waited for. */
class Browser {
  #queues = new Map();

  tab() {
    const mine = new Set();
    const channels = [];
    let crashed = false;
    const request = (name, { signal }, run) =>
      new Promise((resolve, reject) => {
        const entry = { run: () => Promise.resolve(run()).then(resolve, reject).finally(() => this.#done(name, entry)), mine };
        mine.add(entry);
        signal.addEventListener("abort", () => !entry.running && (this.#done(name, entry), reject(signal.reason)));
        this.#queue(name).push(entry);
        this.#next(name);
      });
    class Channel extends BroadcastChannel {
      constructor(name) {
        super(name);
        channels.push(this);
      }

      postMessage(message) {
        if (!crashed) super.postMessage(message);
      }
    }
    const crash = () => {
      crashed = true;
      for (const channel of channels) channel.close();
      for (const [name, queue] of this.#queues) for (const entry of [...queue]) if (entry.mine === mine) this.#done(name, entry);
    };
    return { scope: { navigator: { locks: { request } }, BroadcastChannel: Channel }, crash };
  }

  #queue(name) {
    if (!this.#queues.has(name)) this.#queues.set(name, []);
    return this.#queues.get(name);
  }

  #next(name) {
    const [first] = this.#queue(name);
    if (!first || first.running) return;
    first.running = true;
    setImmediate(first.run);
  }

  #done(name, entry) {
    const queue = this.#queue(name);
    if (queue.includes(entry)) queue.splice(queue.indexOf(entry), 1);
    this.#next(name);
  }
}

async function tabs(t, count, options = {}) {
  const gateway = await FakeGateway.start();
  const browser = new Browser();
  const opened = [];
  t.after(() => gateway.stop());
  const open = async (more) => {
    const tab = browser.tab();
    const made = { ...build(t, gateway, { shared: true, scope: tab.scope, ...options, ...more }), crash: tab.crash };
    made.client.connect(jwt());
    await until(() => made.client.isConnected(), `tab ${opened.length + 1} is open`);
    opened.push(made);
    return made;
  };
  for (let index = 0; index < count; index++) await open();
  return { gateway, browser, opened, open };
}

test("several tabs share one connection and all hear everything", async (t) => {
  const { gateway, opened } = await tabs(t, 3);
  assert.equal(gateway.peers.length, 1);
  for (const content of [1, 2, 3]) gateway.publish("broadcast", { content });
  await until(() => opened.every(({ messages }) => messages.length === 3));
  for (const { messages } of opened) assert.deepEqual(numbers(messages), [1, 2, 3]);
});

test("a tab opened later starts from now, not from when the connection began", async (t) => {
  const { gateway, opened, open } = await tabs(t, 1);
  for (const content of [1, 2, 3]) gateway.publish("broadcast", { content });
  await until(() => opened[0].messages.length === 3);
  const late = await open();
  gateway.publish("broadcast", { content: 4 });
  await until(() => late.messages.length === 1);
  assert.deepEqual(numbers(late.messages), [4]);
  assert.deepEqual(late.downs, []);
});

test("each tab gets the answers to its own requests only", async (t) => {
  const { gateway, opened } = await tabs(t, 2);
  gateway.script.chat = (peer, message) => gateway.ack(peer, message, { to: message.to });
  const acks = opened.map(({ client }) => {
    const heard = [];
    client.on("ack", ({ content }) => heard.push(content.to));
    return heard;
  });
  const answers = await Promise.all(opened.map(({ client }, index) => client.request({ type: "chat", to: `user${index}` })));
  assert.deepEqual(answers, [{ to: "user0" }, { to: "user1" }]);
  assert.deepEqual(acks, [["user0"], ["user1"]]);
});

test("a room is heard by the tabs that joined it, and left with the last of them", async (t) => {
  const { gateway, opened } = await tabs(t, 3);
  const [first, second, third] = opened;
  await first.client.joinRoom("r");
  await second.client.joinRoom("r");
  gateway.publish("room:r", { type: "room_message", room: "r", content: 1 });
  gateway.publish("broadcast", { content: 2 });
  await until(() => opened.every(({ messages }) => messages.some(({ content }) => content === 2)));
  assert.deepEqual(numbers(third.messages), [2]);
  await first.client.leaveRoom("r");
  assert.equal(gateway.last.of("leave_room").length, 0);
  gateway.publish("room:r", { type: "room_message", room: "r", content: 3 });
  await until(() => second.messages.length === 3);
  await second.client.leaveRoom("r");
  assert.equal(gateway.last.of("leave_room").length, 1);
  assert.deepEqual(numbers(first.messages), [1, 2]);
});

test("when the link breaks every tab recovers, once and in order", async (t) => {
  const { gateway, opened } = await tabs(t, 3);
  await opened[1].client.joinRoom("r");
  gateway.cut();
  for (const content of [1, 2, 3]) gateway.publish("broadcast", { content });
  gateway.publish("room:r", { type: "room_message", room: "r", content: 4 });
  await until(() => opened.every(({ client, messages }) => client.isConnected() && messages.length >= 3));
  gateway.publish("broadcast", { content: 5 });
  await until(() => opened.every(({ messages }) => messages.at(-1)?.content === 5));
  assert.deepEqual(opened.map(({ messages }) => numbers(messages)), [[1, 2, 3, 5], [1, 2, 3, 4, 5], [1, 2, 3, 5]]);
  assert.equal(gateway.live.length, 1);
});

for (const [how, end] of [
  ["closes", ({ client }) => client.close()],
  ["crashes", ({ crash }) => crash()],
]) {
  test(`when the leading tab ${how} another takes over and misses nothing`, async (t) => {
    const { gateway, opened } = await tabs(t, 3);
    const [leader, second, third] = opened;
    await third.client.joinRoom("r");
    gateway.publish("broadcast", { content: 1 });
    await until(() => opened.every(({ messages }) => messages.length === 1));
    end(leader);
    gateway.peers[0].send = () => {};
    gateway.publish("broadcast", { content: 2 });
    gateway.publish("room:r", { type: "room_message", room: "r", content: 3 });
    await until(() => third.messages.length === 3 && second.messages.length === 2);
    await until(() => second.client.isConnected() && third.client.isConnected());
    third.client.sendToRoom("r", 4);
    await until(() => third.messages.length === 4);
    assert.deepEqual(numbers(second.messages), [1, 2]);
    assert.deepEqual(numbers(third.messages), [1, 2, 3, 4]);
    assert.deepEqual([...second.gaps, ...third.gaps], []);
  });
}

test("the rooms of a tab that crashed are left", async (t) => {
  const { gateway, opened } = await tabs(t, 2);
  await opened[1].client.joinRoom("r");
  opened[1].crash();
  await until(() => gateway.last.of("leave_room").length === 1);
  assert.deepEqual(gateway.last.of("leave_room")[0].content, "r");
});

test("a terminal close code ends all tabs", async (t) => {
  const { gateway, opened } = await tabs(t, 3);
  gateway.last.close(4403, "no");
  await until(() => opened.every(({ client }) => client.state === "closed"));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(gateway.peers.length, 1);
});

test("another user in the same browser has a connection of its own", async (t) => {
  const { gateway, browser, opened } = await tabs(t, 1);
  gateway.user = "bob";
  const bob = build(t, gateway, { shared: true, scope: browser.tab().scope });
  bob.client.connect(jwt({ user_id: "bob" }));
  await until(() => bob.client.isConnected());
  assert.equal(gateway.live.length, 2);
  gateway.peers[0].send({ type: "chat", id: "1", from: "x", content: "for alice" });
  await opened[0].client.request({ type: "ping" });
  assert.deepEqual(bob.messages, []);
});

test("a message missing in one tab is recovered", async (t) => {
  const { gateway, opened } = await tabs(t, 2);
  gateway.publish("broadcast", { content: 1 }, { lose: true });
  gateway.publish("broadcast", { content: 2 });
  await until(() => opened.every(({ messages }) => messages.length === 2));
  for (const { messages } of opened) assert.deepEqual(numbers(messages), [1, 2]);
});

test("without Web Locks, or with a token that names nobody, each tab has its own connection", async (t) => {
  const gateway = await FakeGateway.start();
  t.after(() => gateway.stop());
  const plain = build(t, gateway, { shared: true, scope: {} });
  const opaque = build(t, gateway, { shared: true, scope: new Browser().tab().scope });
  plain.client.connect(jwt());
  opaque.client.connect("opaque");
  await until(() => plain.client.isConnected() && opaque.client.isConnected());
  assert.equal(gateway.live.length, 2);
  opaque.client.close();
  assert.equal(opaque.downs.length, 1);
});
