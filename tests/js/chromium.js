import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const files = new URL("../../realtime/static/realtime/", import.meta.url);

/** Chromium's path on this machine, if it has one; `CHROMIUM` names another. */
export const chromiumPath = () =>
  [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));

/** Serves the client's files and an empty `/page`. */
export async function servePage(port = 0) {
  const server = createServer(async ({ url }, response) => {
    const page = url === "/page";
    response.setHeader("Content-Type", page ? "text/html" : "text/javascript");
    response.end(page ? "<!doctype html><title>client</title>" : await readFile(new URL(url.slice(1), files)).catch(() => ""));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}
