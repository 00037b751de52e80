import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./fake_gateway.js";
import { pair } from "./setup.js";

/** A window as the client sees it, counting its listeners. */
function fakeWindow() {
  const count = { listeners: 0 };
  const target = () => {
    const it = new EventTarget();
    const { addEventListener, removeEventListener } = it;
    it.addEventListener = (...given) => (count.listeners++, addEventListener.apply(it, given));
    it.removeEventListener = (...given) => (count.listeners--, removeEventListener.apply(it, given));
    return it;
  };
  const scope = Object.assign(target(), { navigator: { onLine: true }, document: Object.assign(target(), { visibilityState: "visible" }) });
  const fire = (on, name) => on.dispatchEvent(new Event(name));
  return { scope, count, fire };
}

async function open(t, options) {
  const { scope, count, fire } = fakeWindow();
  const made = await pair(t, { scope, ...options });
  made.client.connect("token");
  await until(() => made.client.isConnected());
  return { ...made, scope, count, fire };
}

const PATIENT = { reconnectInterval: 100_000, maxReconnectInterval: 100_000 };

test("while the browser has no network the state is offline", async (t) => {
  const { gateway, client, scope, states, fire } = await open(t, PATIENT);
  t.mock.method(Math, "random", () => 0.9);
  gateway.cut();
  await until(() => client.state === "waiting");
  scope.navigator.onLine = false;
  fire(scope, "offline");
  assert.equal(client.state, "offline");
  assert.deepEqual(states, ["connecting", "open", "waiting", "offline"]);
});

for (const [what, wake] of [
  ["the network is back", ({ scope, fire }) => fire(scope, "online")],
  ["the page is shown", ({ scope, fire }) => fire(scope.document, "visibilitychange")],
  ["the page comes out of the back-forward cache", ({ scope }) => scope.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }))],
]) {
  test(`a waiting client tries at once when ${what}`, async (t) => {
    const made = await open(t, PATIENT);
    const random = t.mock.method(Math, "random", () => 0.9);
    made.gateway.cut();
    await until(() => made.client.state === "waiting");
    random.mock.mockImplementation(() => 0.01);
    wake(made);
    await until(() => made.client.isConnected());
  });
}

test("waking up does not cut short the wait a server asked for", async (t) => {
  const { gateway, client, scope, fire } = await open(t);
  gateway.last.close(1012, "retry_after_ms=150");
  await until(() => client.state === "waiting");
  const started = performance.now();
  fire(scope, "online");
  await until(() => client.isConnected());
  assert.ok(performance.now() - started >= 130);
});

test("a link that died while the page slept is noticed on waking", async (t) => {
  const { gateway, client, scope, fire, downs } = await open(t, { pongTimeout: 30 });
  gateway.last.pongs = false;
  fire(scope.document, "visibilitychange");
  await until(() => downs.length === 1 && client.isConnected());
  assert.equal(downs[0].code, 4408);
});

test("a page that is hidden changes nothing", async (t) => {
  const { gateway, scope, fire } = await open(t);
  scope.document.visibilityState = "hidden";
  fire(scope.document, "visibilitychange");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(gateway.last.of("ping").length, 0);
});

test("after close() no listener is left on the page, however often it was opened", async (t) => {
  const { gateway, client, count } = await open(t);
  assert.equal(count.listeners, 4);
  gateway.cut();
  await until(() => gateway.peers.length === 2 && client.isConnected());
  assert.equal(count.listeners, 4);
  client.close();
  assert.equal(count.listeners, 0);
  client.connect("token");
  client.close();
  assert.equal(count.listeners, 0);
});

test("a terminal close takes the listeners away as well", async (t) => {
  const { gateway, client, count } = await open(t);
  gateway.last.close(4403, "");
  await until(() => client.state === "closed");
  assert.equal(count.listeners, 0);
});
