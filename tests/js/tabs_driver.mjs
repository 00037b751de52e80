/**
 * Several tabs of one Chromium that share a connection to a real gateway; tells on stdout what each of them sees.
 * `node tabs_driver.mjs '{"url": …, "token": …, "room": …, "tabs": 3, "port": …}'`; SIGUSR2 closes the first tab, SIGTERM ends.
 */
import { chromium } from "playwright-core";
import { chromiumPath, servePage } from "./chromium.js";

const { url, token, room, tabs, port } = JSON.parse(process.argv[2]);
const server = await servePage(port);
const browser = await chromium.launch({ executablePath: chromiumPath(), args: ["--no-sandbox"] });
const context = await browser.newContext();
await context.exposeFunction("tell", (told) => console.log(JSON.stringify(told)));

const pages = [];
for (let tab = 0; tab < tabs; tab++) {
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${port}/page`);
  const run = async ({ url, token, room, tab }) => {
    const { WebSocketClient } = await import("/client.min.js");
    const client = new WebSocketClient({ url, shared: true, reconnectInterval: 100, maxReconnectInterval: 500 });
    client.on("*", ({ type, content, data }) => data?.stream && tell({ event: "message", tab, type, content }));
    client.on("welcome", ({ data }) => tell({ event: "welcome", tab, client: data.client_id }));
    client.onState((state) => tell({ event: "state", tab, state }));
    client.onGap((gap) => tell({ event: "gap", tab, ...gap }));
    client.onClose((down) => tell({ event: "down", tab, ...down }));
    client.connect(token);
    await client.joinRoom(room);
    tell({ event: "joined", tab });
  };
  await page.evaluate(run, { url, token, room, tab });
  pages.push(page);
}
process.on("SIGUSR2", () => pages[0].close());
process.once("SIGTERM", async () => {
  await browser.close();
  server.close();
});
