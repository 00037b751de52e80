import { WebSocketClient } from "../client.js";
import { Frames } from "./frames.js";
import { Session } from "./session.js";

const $ = (id) => document.getElementById(id);
const texts = JSON.parse($("texts").textContent);
const session = new Session();
const frames = new Frames();
const client = new WebSocketClient({ url: "/ws", token: session.token });

/** Runs `action` with the form's fields when it is submitted; a failure is shown in `problem`. */
function onSubmit(form, problem, action) {
  $(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    $(problem).textContent = "";
    try {
      await action(Object.fromEntries(new FormData(event.target)), event.target);
    } catch (error) {
      $(problem).textContent = error.message;
    }
  });
}

function note(type, content) {
  frames.add("event", { type, content });
}

// Log in, log out

onSubmit("login", "login-problem", async ({ username, password }, form) => {
  await session.login(username, password);
  form.reset();
  client.connect();
});
onSubmit("paste", "login-problem", ({ token }, form) => {
  session.paste(token.trim());
  form.reset();
  client.connect();
});
$("logout").addEventListener("click", async () => {
  client.close();
  await session.logout();
  show("idle");
});

// What the client tells

function show(state) {
  const signedIn = session.present && state !== "closed" && state !== "idle";
  $("state").dataset.state = state;
  $("state").textContent = texts.states[state] ?? state;
  $("login-card").hidden = signedIn;
  for (const card of ["me-card", "room-card", "send-card"]) $(card).hidden = !signedIn;
  drawRooms();
}

client.onState(show);
client.onClose(({ code, reason, retry, delay }) => {
  note("close", `${code} ${reason}` + (retry ? ` – ${texts.again} ${Math.round((delay ?? 0) / 100) / 10} s` : ""));
  if (retry || code === 1000) return;
  $("login-problem").textContent = code === 4401 ? texts.token : `${reason || texts.states.closed} (${code})`;
});
client.onGap(({ stream }) => note("gap", stream));
client.on("*", (message) => frames.add("in", message));
client.on("welcome", ({ data }) => {
  $("user").textContent = data.user_id;
  $("client").textContent = data.client_id;
  $("node").textContent = data.node ?? "–";
  measure();
});

// Say something

async function measure() {
  const start = performance.now();
  await new Promise((resolve) => {
    const stop = client.on("pong", () => (stop(), resolve()));
    say({ type: "ping" });
  });
  $("latency").textContent = `${(performance.now() - start).toFixed(1)} ms`;
}

function say(message) {
  frames.add("out", message);
  if (!client.send(message)) throw new Error(texts.refused);
}

$("ping").addEventListener("click", measure);

onSubmit("join", "send-problem", async ({ room }, form) => {
  frames.add("out", { type: "join_room", content: room });
  form.reset();
  await client.joinRoom(room).finally(drawRooms);
});

function drawRooms() {
  $("rooms").replaceChildren(...client.rooms.map((room) => {
    const chip = Object.assign(document.createElement("button"), { type: "button", textContent: room, title: texts.leave });
    chip.addEventListener("click", () => {
      frames.add("out", { type: "leave_room", content: room });
      client.leaveRoom(room).catch(() => {}).finally(drawRooms);
    });
    const item = document.createElement("li");
    item.append(chip);
    return item;
  }));
  $("targets").replaceChildren(...client.rooms.map((room) => new Option(room)));
}

onSubmit("send", "send-problem", async ({ kind, to, content }, form) => {
  if (kind === "raw") say(JSON.parse(content));
  else {
    const message = { type: kind, [kind === "chat" ? "to" : "room"]: to, content };
    frames.add("out", message);
    await client.request(message);
  }
  form.elements.content.value = "";
});
$("send").elements.kind.addEventListener("change", ({ target }) => {
  for (const label of $("send").querySelectorAll("[data-for]")) label.hidden = !label.dataset.for.split(" ").includes(target.value);
});

// The list and the tiles

$("filter").addEventListener("input", ({ target }) => frames.filter(target.value));
$("clear").addEventListener("click", () => frames.clear());
$("pause").addEventListener("click", ({ target }) => {
  frames.paused = !frames.paused;
  target.setAttribute("aria-pressed", String(frames.paused));
  if (!frames.paused) frames.resume();
});

function duration(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

async function loadStats() {
  if (!document.hidden) {
    const response = await fetch("/ws/stats").catch(() => null);
    const stats = response?.ok ? await response.json() : {};
    for (const tile of document.querySelectorAll("[data-stat]")) {
      const value = stats[tile.dataset.stat];
      tile.textContent = value === undefined ? "–" : tile.dataset.stat === "uptime" ? duration(value) : value.toLocaleString();
    }
  }
  setTimeout(loadStats, 2000);
}

loadStats();
show("idle");
if (session.present) client.connect();
