import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { bundle } from "./build.mjs";

const built = new URL("../../realtime/static/realtime/client.min.js", import.meta.url);

test("the bundled client is current (npm run build)", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "client-"));
  t.after(() => rm(directory, { recursive: true }));
  await bundle(join(directory, "client.js"));
  assert.equal(await readFile(built, "utf8"), await readFile(join(directory, "client.js"), "utf8"));
});

test("the bundled client is under 8 KB gzipped", async (t) => {
  const size = gzipSync(await readFile(built), { level: 9 }).length;
  t.diagnostic(`${size} bytes gzipped`);
  assert.ok(size < 8192, `${size} bytes`);
});

test("the bundled client works by itself", async () => {
  const { WebSocketClient, GatewayError, default: main } = await import(built);
  assert.equal(main, WebSocketClient);
  assert.equal(new GatewayError(408, "late").code, 408);
});
