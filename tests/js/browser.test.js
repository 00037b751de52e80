import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { chromiumPath, servePage } from "./chromium.js";
import { FakeGateway, jwt, until } from "./fake_gateway.js";

const chrome = chromiumPath();
const missing = chrome || process.env.CI ? false : "no Chromium on this machine (set CHROMIUM to its path)";

let browser;
let server;

before(async () => {
  if (missing) return;
  server = await servePage();
  browser = await chromium.launch({ executablePath: chrome, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** A browser profile with a gateway; `open()` gives a tab whose client is connected, with `seen`, `states` and `gaps`. */
async function profile(t, file = "client.js") {
  const gateway = await FakeGateway.start();
  const context = await browser.newContext();
  t.after(async () => {
    await context.close();
    await gateway.stop();
  });
  const open = async (options = {}) => {
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/page`);
    await page.evaluate(
      async ({ url, options, token, file }) => {
        const { WebSocketClient } = await import(`/${file}`);
        const client = new WebSocketClient({ url, reconnectInterval: 50, maxReconnectInterval: 100, ...options });
        Object.assign(window, { client, seen: [], states: [], gaps: [] });
        client.on("broadcast", ({ content }) => seen.push(content));
        client.on("room_message", ({ content }) => seen.push(content));
        client.onState((state) => states.push(state));
        client.onGap((gap) => gaps.push(gap));
        client.connect(token);
      },
      { url: gateway.url, options, token: jwt(), file },
    );
    await page.waitForFunction("client.isConnected()");
    return page;
  };
  return { gateway, context, open };
}

const seen = (page) => page.evaluate("seen");
const sees = (page, count) => page.waitForFunction((least) => seen.length >= least, count);
const span = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

for (const file of ["client.js", "client.min.js"]) {
  test(`${file} in Chromium recovers what a server restart would have lost`, { skip: missing }, async (t) => {
    const { gateway, open } = await profile(t, file);
    const page = await open();
    await page.evaluate("client.joinRoom('r')");
    gateway.publish("broadcast", { content: 1 });
    await gateway.stop();
    gateway.publish("broadcast", { content: 2 });
    gateway.publish("room:r", { type: "room_message", room: "r", content: 3 });
    await page.waitForFunction("states.filter((state) => state === 'waiting').length > 3");
    await gateway.restart();
    await page.waitForFunction("client.isConnected()");
    gateway.publish("broadcast", { content: 4 });
    await sees(page, 4);
    assert.deepEqual([...(await seen(page))].sort(), [1, 2, 3, 4]);
    assert.deepEqual(await page.evaluate("gaps"), []);
  });
}

test("five seconds of 1,000 messages/s freeze no frame for long", { skip: missing }, async (t) => {
  const { gateway, open } = await profile(t);
  const page = await open();
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    const frame = () => {
      const now = performance.now();
      window.longest = Math.max(window.longest, now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const started = performance.now();
  for (let sent = 0; sent < 5000; ) {
    const due = Math.min(5000, Math.floor(performance.now() - started));
    while (sent < due) gateway.publish("broadcast", { content: ++sent, id: `m${sent}` });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await sees(page, 5000);
  assert.deepEqual(await seen(page), span(1, 5000));
  const longest = await page.evaluate("longest");
  t.diagnostic(`longest frame ${Math.round(longest)} ms`);
  assert.ok(longest < 1000, `a frame took ${longest} ms`);
});

test("offline mode is a state of its own, and coming online reconnects at once", { skip: missing }, async (t) => {
  const { gateway, context, open } = await profile(t);
  const page = await open({ reconnectInterval: 600_000, maxReconnectInterval: 600_000 });
  await context.setOffline(true);
  gateway.cut();
  await page.waitForFunction("client.state === 'offline'");
  gateway.publish("broadcast", { content: 1 });
  await context.setOffline(false);
  await sees(page, 1);
  assert.equal(await page.evaluate("client.state"), "open");
});

test("tabs share one connection; closing the leading tab costs the others nothing", { skip: missing }, async (t) => {
  const { gateway, open } = await profile(t);
  const pages = [await open({ shared: true }), await open({ shared: true }), await open({ shared: true })];
  assert.equal(gateway.live.length, 1);
  await pages[2].evaluate("client.joinRoom('r')");
  gateway.publish("broadcast", { content: 1 });
  for (const page of pages) await sees(page, 1);
  await pages[0].close();
  await until(() => gateway.live.length === 0 || gateway.peers.length === 2);
  gateway.publish("broadcast", { content: 2 });
  gateway.publish("room:r", { type: "room_message", room: "r", content: 3 });
  await sees(pages[1], 2);
  await sees(pages[2], 3);
  assert.deepEqual(await seen(pages[1]), [1, 2]);
  assert.deepEqual([...(await seen(pages[2]))].sort(), [1, 2, 3]);
  await pages[1].waitForFunction("client.isConnected()");
  assert.equal(gateway.live.length, 1);
  const late = await open({ shared: true });
  gateway.publish("broadcast", { content: 4 });
  await sees(late, 1);
  assert.deepEqual(await seen(late), [4]);
});
