import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

test("the examples of docs/browser-client.md compile with strict types", async () => {
  const text = await readFile(here("../../docs/browser-client.md"), "utf8");
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  const folder = here("node_modules/.cache/docs");
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/all.ts`, `${blocks.join("\n")}\nexport {};\n`);
  const settings = JSON.parse(await readFile(here("types/examples.json"), "utf8"));
  settings.compilerOptions.paths = { "ginforge-realtime-client": [here("../../realtime/static/realtime/client.d.ts")] };
  await writeFile(`${folder}/tsconfig.json`, JSON.stringify({ ...settings, include: ["all.ts"] }));
  const { stdout } = await promisify(execFile)(here("node_modules/.bin/tsc"), ["-p", folder]).catch((error) => error);
  assert.equal(stdout, "");
  assert.ok(blocks.length >= 7);
});
