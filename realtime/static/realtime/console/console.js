/** The console: connections side by side on the right, tools that act as one of them on the left. */

import { Connections } from "./connections.js";
import { $, onSubmit } from "./dom.js";
import { notepadTool } from "./notepad.js";
import { presenceTool } from "./presence.js";
import { publishTool } from "./publish.js";
import { sendTool } from "./send.js";
import { Session } from "./session.js";
import { showStats } from "./stats.js";
import { tabs } from "./tabs.js";
import { uploadTool } from "./upload.js";

const connections = new Connections();

function add(pair, form) {
  form.reset();
  connections.add(pair);
  $("add").open = false;
}

onSubmit($("login"), async ({ username, password }, form) => add(await Session.login(username, password), form));
onSubmit($("paste"), ({ token }, form) => add({ access: token.trim() }, form));

for (const tool of [sendTool, publishTool, presenceTool, notepadTool, uploadTool]) tool(connections);
tabs($("tools"));

$("filter").addEventListener("input", ({ target }) => connections.all.forEach(({ frames }) => frames.filter(target.value)));
$("clear").addEventListener("click", () => connections.all.forEach(({ frames }) => frames.clear()));
$("pause").addEventListener("click", ({ currentTarget }) => {
  const paused = currentTarget.getAttribute("aria-pressed") !== "true";
  currentTarget.setAttribute("aria-pressed", String(paused));
  for (const { frames } of connections.all) frames.paused = paused;
});

showStats();
