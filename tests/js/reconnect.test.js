import assert from "node:assert/strict";
import { test } from "node:test";
import { jwt, until } from "./fake_gateway.js";
import { numbers, pair } from "./setup.js";

test("the token travels as a subprotocol and nowhere else", async (t) => {
  const { gateway, client } = await pair(t);
  const token = jwt();
  client.connect(token);
  await until(() => client.isConnected());
  assert.equal(gateway.last.token, token);
  assert.equal(gateway.last.url.search, "");
});

test("what was published while the link was down arrives once and in order", async (t) => {
  const { gateway, client, messages } = await pair(t);
  client.connect("token");
  await until(() => client.isConnected());
  gateway.publish("broadcast", { content: 1 });
  await until(() => messages.length === 1);
  gateway.cut();
  for (const content of [2, 3, 4]) gateway.publish("broadcast", { content });
  await until(() => client.isConnected() && messages.length === 4);
  gateway.publish("broadcast", { content: 5 });
  await until(() => messages.length === 5);
  assert.deepEqual(numbers(messages), [1, 2, 3, 4, 5]);
  assert.equal(gateway.last.url.searchParams.get("resume"), "1");
});
