/** One connection of the page: its login, its client, and its column with the frames. */

import { WebSocketClient } from "../client.min.js";
import { $, make, onSubmit, texts } from "./dom.js";
import { Frames } from "./frames.js";
import { Session } from "./session.js";

export class Connection extends EventTarget {
  #column;
  #state = "idle";

  /** @param {{ access: string, refresh?: string }} pair */
  constructor(pair) {
    super();
    this.session = new Session(pair, () => this.#tell("token"));
    this.client = new WebSocketClient({ url: "/ws" });
    this.userId = "";
    this.name = "…";
    this.#column = $("column").content.firstElementChild.cloneNode(true);
    const find = (name) => this.#column.querySelector(name);
    this.frames = new Frames(find(".frames"), find(".count"));
    find(".ping").addEventListener("click", () => this.measure());
    find(".leave").addEventListener("click", () => this.end());
    onSubmit(find(".join"), ({ room }, form) => (form.reset(), this.join(room)));
    this.#listen();
    $("columns").append(this.#column);
    this.client.connect(this.session.token);
  }

  get state() {
    return this.#state;
  }

  #listen() {
    const { client } = this;
    client.onState((state) => this.#show(state));
    client.onClose(({ code, reason, retry, delay }) => {
      this.note("close", `${code} ${reason}` + (retry ? ` – ${texts.again} ${Math.round((delay ?? 0) / 100) / 10} s` : ""));
      if (!retry && code === 4401) this.#problem(texts.token);
      else if (!retry && code !== 1000) this.#problem(`${reason || texts.states.closed} (${code})`);
    });
    client.onGap(({ stream }) => this.note("gap", stream));
    client.on("*", (message) => this.frames.add("in", message));
    client.on("welcome", ({ data }) => {
      this.userId = data.user_id;
      this.name = claims(this.session.access).username || data.user_id;
      this.staff = claims(this.session.access).is_staff === true;
      this.#column.querySelector(".user").textContent = this.name;
      this.#column.querySelector(".about").textContent = `${data.user_id} · ${data.client_id} · ${data.node}`;
      this.#tell("welcome");
      this.measure();
    });
  }

  #show(state) {
    this.#state = state;
    const pill = this.#column.querySelector(".pill");
    pill.dataset.state = state;
    pill.textContent = texts.states[state] ?? state;
    this.drawRooms();
    this.#tell("state");
  }

  #problem(text) {
    this.#column.querySelector(".problem").textContent = text;
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }

  /** Adds a line about the connection itself. */
  note(type, content) {
    this.frames.add("event", { type, content });
  }

  /** Sends a message and shows it; with `answer` it waits for the gateway's word. */
  async say(message, { answer = false } = {}) {
    this.frames.add("out", message);
    if (answer) return this.client.request(message);
    if (!this.client.send(message)) throw new Error(texts.refused);
    return undefined;
  }

  async join(room) {
    this.frames.add("out", { type: "join_room", content: room });
    try {
      await this.client.joinRoom(room);
    } catch (error) {
      this.#problem(`${room}: ${error.message}`);
      throw error;
    } finally {
      this.drawRooms();
    }
  }

  async leave(room) {
    this.frames.add("out", { type: "leave_room", content: room });
    await this.client.leaveRoom(room).catch(() => {});
    this.drawRooms();
  }

  drawRooms() {
    this.#column.querySelector(".rooms").replaceChildren(...this.client.rooms.map((room) => {
      const chip = make("button", { type: "button", textContent: room, title: texts.leave });
      chip.addEventListener("click", () => this.leave(room));
      return make("li", {}, chip);
    }));
    this.#tell("rooms");
  }

  async measure() {
    const start = performance.now();
    const answered = new Promise((resolve) => {
      const stop = this.client.on("pong", () => (stop(), resolve(undefined)));
    });
    await this.say({ type: "ping" });
    await answered;
    this.#column.querySelector(".latency").textContent = `${(performance.now() - start).toFixed(1)} ms`;
  }

  /** Logs out and takes the column away. */
  async end() {
    this.client.close();
    await this.session.logout();
    this.#column.remove();
    this.#tell("end");
  }
}

/** What a token says; the gateway has checked it. @returns {Record<string, any>} */
function claims(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}
