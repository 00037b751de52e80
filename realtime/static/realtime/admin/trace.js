/** The live trace of a user or room. */

import { connect, post, texts } from "./live.js";

const MOST = 500;
const form = document.getElementById("trace");
const list = document.getElementById("traced");
const state = document.getElementById("trace-state");
const problem = document.getElementById("trace-problem");
const seen = new Set();
let running = null;

function row({ way, node, message, size, client_id: client, epoch, offset, skipped }) {
  const item = document.createElement("li");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const part = (className, text) => summary.append(Object.assign(document.createElement("span"), { className, textContent: text }));
  part("gateway-mono", new Date().toTimeString().slice(0, 8));
  part("way", `${way === "in" ? "↑" : "↓"} ${texts[way]}`);
  part("type", message?.type ?? "?");
  part("gateway-mono", JSON.stringify(message?.content ?? message).slice(0, 120));
  if (skipped) part("gateway-badge", `${skipped} ${texts.skipped}`);
  const place = way === "in" ? client : `${epoch} ${offset}`;
  const body = Object.assign(document.createElement("pre"), { textContent: `${node} · ${place} · ${size} B\n${JSON.stringify(message, null, 2)}` });
  details.append(summary, body);
  item.append(details);
  return item;
}

function take({ content }) {
  if (content.way === "out") {
    const place = `${content.epoch} ${content.offset}`;
    if (seen.has(place)) return; // several processes have members of it
    seen.add(place);
  }
  document.getElementById("nothing").hidden = true;
  list.prepend(row(content));
  while (list.children.length > MOST) list.lastChild.remove();
}

function stop(text) {
  if (!running) return;
  clearTimeout(running.timer);
  running.client.close();
  post(form.dataset.stop, { trace: running.trace }).catch(() => {});
  running = null;
  state.textContent = text;
  document.getElementById("stop").disabled = true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  stop("");
  problem.hidden = true;
  const fields = Object.fromEntries(new FormData(form));
  try {
    const { token, room, trace, until } = await post(form.dataset.start, fields);
    const client = connect(room, async () => token);
    client.on("trace", take);
    client.onState((now) => running?.client === client && (state.textContent = now === "open" ? `● ${texts.running}: ${fields.name}` : "…"));
    running = { client, trace, timer: setTimeout(() => stop(texts.ended), until * 1000 - Date.now()) };
    seen.clear();
    list.replaceChildren();
    document.getElementById("stop").disabled = false;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});
document.getElementById("stop").addEventListener("click", () => stop(texts.ended));
addEventListener("pagehide", () => stop(""));
