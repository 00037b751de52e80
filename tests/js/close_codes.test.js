import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./fake_gateway.js";
import { pair } from "./setup.js";

async function closedWith(t, code, reason, options) {
  const made = await pair(t, options);
  made.client.connect("token");
  await until(() => made.client.isConnected());
  made.gateway.last.close(code, reason);
  await until(() => made.downs.length === 1);
  return made;
}

for (const code of [1003, 1007, 1009, 4401, 4403, 4409, 4429]) {
  test(`close code ${code} ends the connection`, async (t) => {
    const { client, downs, gateway } = await closedWith(t, code, "because");
    assert.deepEqual(downs, [{ code, reason: "because", retry: false }]);
    assert.equal(client.state, "closed");
    assert.equal(client.send({ type: "chat", to: "bob" }), false);
    assert.equal(gateway.peers.length, 1);
  });
}

for (const code of [1000, 1001, 1011, 1012, 1013, 4408]) {
  test(`close code ${code} brings the client back`, async (t) => {
    const { client, downs, gateway } = await closedWith(t, code, "");
    assert.equal(downs[0].retry, true);
    await until(() => client.isConnected() && gateway.peers.length === 2);
  });
}

for (const code of [1012, 1013]) {
  test(`the wait asked for with ${code} is kept`, async (t) => {
    const { client, downs } = await closedWith(t, code, "retry_after_ms=150");
    assert.ok(downs[0].delay >= 150 && downs[0].delay < 170, `${downs[0].delay}`);
    const started = performance.now();
    await until(() => client.isConnected());
    assert.ok(performance.now() - started >= 140);
  });
}

test("after a terminal code connect() with a new token goes on where it stopped", async (t) => {
  const { client, gateway, messages } = await closedWith(t, 4401, "expired");
  gateway.publish("user", { type: "notification", content: "missed" });
  client.connect("new");
  await until(() => messages.length === 1);
});

test("reconnect: false ends with the first link", async (t) => {
  const { client, downs } = await closedWith(t, 1012, "", { reconnect: false });
  assert.equal(downs[0].retry, false);
  assert.equal(client.state, "closed");
});
