/** Chromium by remote control: commands as JSON lines on stdin, an answer for each on stdout. See tests/e2e/browser.py. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { chromiumPath } from "./chromium.js";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const quiet = ["quic", "background-networking", "component-update", "sync", "gpu"].map((name) => `--disable-${name}`);
const browser = await chromium.launch({ executablePath: chromiumPath(), args: ["--no-sandbox", "--no-first-run", ...quiet] });
const pages = [];

const commands = {
  async open(options) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const problems = [];
    page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(`console: ${message.text()}`);
    });
    return pages.push({ context, page, problems }) - 1;
  },
  call: ({ page, method, args }) => pages[page].page[method](...args),
  locator: ({ page, selector, method, args }) => pages[page].page.locator(selector).first()[method](...args),
  async wait({ page, expression }) {
    // waitForFunction evaluates inside the page, which its content policy forbids
    const deadline = Date.now() + 30_000;
    while (!(await pages[page].page.evaluate(expression).catch(() => false))) {
      if (Date.now() > deadline) throw new Error(`waited in vain; problems: ${pages[page].problems.join("; ")}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  offline: ({ page, offline }) => pages[page].context.setOffline(offline),
  problems: ({ page }) => pages[page].problems,
  async axe({ page }) {
    const session = await pages[page].context.newCDPSession(pages[page].page);
    await session.send("Runtime.evaluate", { expression: axe }); // past the page's content policy, which stays on
    const { violations } = await pages[page].page.evaluate(() => globalThis.axe.run());
    return violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map(({ target }) => target.join(" ")) }));
  },
  close: ({ page }) => pages[page].context.close(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...options } = JSON.parse(line);
  try {
    const result = await commands[command](options);
    const plain = result === undefined || Buffer.isBuffer(result) || typeof result?.url === "function" ? null : result;
    console.log(JSON.stringify({ result: plain }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message ?? error) }));
  }
}
await browser.close();
