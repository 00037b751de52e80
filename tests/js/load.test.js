import assert from "node:assert/strict";
import { test } from "node:test";
import { Streams } from "../../realtime/static/realtime/client/streams.js";
import { jwt, until } from "./fake_gateway.js";
import { numbers, pair } from "./setup.js";

test("ten thousand messages in a burst arrive complete, in order, and leave the event loop breathing", async (t) => {
  const { gateway, client, messages } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  let ticks = 0;
  const ticking = setInterval(() => ticks++, 5);
  t.after(() => clearInterval(ticking));
  const started = performance.now();
  for (let batch = 0; batch < 100; batch++) {
    for (let index = 0; index < 100; index++) gateway.publish("broadcast", { content: batch * 100 + index, id: `m${batch}.${index}` });
    await new Promise(setImmediate);
  }
  await until(() => messages.length === 10_000);
  const rate = 10_000 / ((performance.now() - started) / 1000);
  t.diagnostic(`${Math.round(rate)} messages/s, ${ticks} ticks of 5 ms`);
  assert.deepEqual(numbers(messages), Array.from({ length: 10_000 }, (_, index) => index));
});

test("no timer is left after close(), whatever was under way", async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  await until(() => timers() <= 1, "the timers of the tests before");
  const before = timers();
  const { gateway, client } = await pair(t, { heartbeatInterval: 1000, reconnectInterval: 1000 });
  gateway.script.chat = () => {};
  client.connect(() => jwt());
  await until(() => client.isConnected());
  client.request({ to: "bob" });
  client.joinRoom("a");
  assert.ok(timers() > before);
  client.close();
  await until(() => gateway.server.clients.size === 0);
  assert.ok(timers() <= before, `${timers()} timers`);
  client.connect(() => jwt());
  await until(() => client.isConnected());
  gateway.last.close(1012, "retry_after_ms=60000");
  await until(() => client.state === "waiting");
  client.joinRoom("b");
  client.close();
  await until(() => gateway.server.clients.size === 0);
  assert.ok(timers() <= before, `${timers()} timers`);
});

test("the ids remembered are bounded", () => {
  const heard = [];
  const streams = new Streams({ deliver: ({ id }) => heard.push(id), gap: () => {}, hole: () => {} });
  for (let id = 0; id <= 1000; id++) streams.receive({ type: "system", id });
  streams.receive({ type: "system", id: 1000 });
  assert.equal(heard.length, 1001);
  streams.receive({ type: "system", id: 0 });
  assert.equal(heard.at(-1), 0);
});
