/** The overview: tiles, charts and tables, fresh whenever the gateway says so, every 10 s when it cannot. */

import { Charts } from "./charts.js";
import { bytes, duration, since } from "./format.js";
import { connect, post, texts } from "./live.js";

const page = document.getElementById("overview");
const period = document.getElementById("period");
const live = document.getElementById("live");
const POLL = 10_000;

/** Shows one answer of the state view. */
function show(state, charts) {
  const tiles = { ...state.stats, uptime: duration(state.stats.uptime), letters: state.letters, nodes: state.nodes.length, bridges: state.bridges.length };
  for (const [name, value] of Object.entries(tiles)) {
    const tile = page.querySelector(`[data-tile="${name}"]`);
    if (tile) tile.textContent = typeof value === "number" ? value.toLocaleString() : value;
  }
  rows("nodes", state.nodes.map((n) => [named(n), n.version, n.clients, n.users, n.rooms, bytes(n.memory), bytes(n.buffered ?? 0), since(n.started, state.now), since(n.at, state.now)]));
  rows("bridges", state.bridges.map((b) => [b.id, b.role, b.counters?.published, b.counters?.offline, b.counters?.refused, b.counters?.failed, b.waiting, `${(b.lag ?? 0).toFixed(3)} s`, since(b.at, state.now)]));
  charts.draw(state.points);
}

const named = ({ node, draining }) => (draining ? `${node} (${texts.draining})` : node);

/** Rewrites the cells of a table; makes them anew when there are more or fewer rows. */
function rows(id, wanted) {
  const body = document.getElementById(id);
  const shown = [...body.rows].filter((row) => row.cells.length > 1);
  if (shown.length !== wanted.length) {
    body.replaceChildren(...wanted.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text, at) => Object.assign(document.createElement("td"), { textContent: text ?? "–", className: at ? "" : "gateway-mono" })));
      return row;
    }));
    return;
  }
  wanted.forEach((cells, at) => cells.forEach((text, column) => {
    shown[at].cells[column].textContent = text ?? "–";
  }));
}

const charts = new Charts(texts);
let timer = 0;
let loading = false;

function sayHow() {
  live.textContent = client.isConnected() ? `● ${texts.live}` : texts.polling;
}

async function load() {
  if (loading) return;
  loading = true;
  clearTimeout(timer);
  try {
    const response = await fetch(`${page.dataset.state}?period=${period.value}`);
    if (!response.ok) throw new Error(String(response.status));
    show(await response.json(), charts);
    sayHow();
  } catch {
    live.textContent = texts.stale;
  } finally {
    loading = false;
    timer = setTimeout(load, POLL);
  }
}

const client = connect("admin:overview", async () => (await post(page.dataset.token)).token);
client.on("data_update", ({ content }) => content.entity === "overview" && !document.hidden && load());
client.onState(sayHow);
period.addEventListener("change", load);
load();
